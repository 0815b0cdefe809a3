"""Postal addresses: a street or an estate with a number, or what stands behind a cue word and looks like one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from llmtriage.prepare.personal.words import either, holds_digit, holds_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.prepare.personal import Found

# -- Chinese -------------------------------------------------------------------------------------

_HAN: Final = "\u4e00-\u9fff"
_ROAD: Final = either(
    "(?<![线電电网網铁鐵思套链走半回一公])路 街 (?<![知味渠频通管轨报])道 巷 胡同 村 [小社新]区 小區 花园 家园 公寓 苑 屯 庄"
)
_SITE: Final = either("园 園 大厦 大廈 广场 廣場 城 府 湾 中心 工业区 科技园 大学 学院 医院 宿舍 校区 园区 區")
_PLACE: Final = f"(?:{_ROAD}|{_SITE})"
_NUMBER: Final = "[0-9A-Za-z零一二三四五六七八九十百-]{1,8}"
_ROOM: Final = either("号楼 號樓 号院 栋 棟 幢 座 单元 單元 室 楼 樓 层 層 房 塔")
_DOOR: Final = f"(?:{_ROOM}|[号號弄组巷门])"
"""Behind a site 号 is mostly a day of the month, so a site needs a room; a road takes any door."""
_STREET: Final = re.compile(
    rf"(?:{_ROAD} ?(?:[东西南北中]段? ?)?{_NUMBER} ?{_DOOR}|{_SITE} ?{_NUMBER} ?{_ROOM}|{_PLACE} ?[0-9]{{1,4}}(?:-[0-9]{{1,4}}){{1,3}}(?![0-9-]))"
    rf"(?: ?[{_HAN}]{{0,10}}? ?[0-9A-Za-z-]{{1,6}} ?{_DOOR}){{0,5}}(?:[0-9]{{2,4}}(?![0-9]))?"
)
_REACH: Final = 30
"""Characters before a street that may belong to its address."""
_BEFORE: Final = re.compile(rf"[{_HAN}0-9A-Za-z ·]{{0,{_REACH}}}\Z")
_LEAD: Final = re.compile("收货地址|收件地址|详细地址|地址|住址|[在到至往是为為寄送发發住给給:于]|我家|搬|改成|改为|换成")
_WHOSE: Final = either(
    "收货 收件 寄件 家庭 联系 详细 新 旧 送货 配送 发货 公司 邮寄 通讯 居住 户籍 安装 上门 取件 收貨",
)
_CUE: Final = re.compile(
    rf"(?:{_WHOSE}?(?:地址|住址|住所)(?:已?经?更?[改变换][为成到]|换成|写的是|应该是|是|为|為|在)?"
    r"|家住|我?住在|我住|我?家在|(?:寄|送|发|配送|发货|邮寄|投递|派送|搬)[到往至])[ :]*([^\n,，。;；!！?？\x00]{4,70})"
)
_STOP: Final = re.compile(
    either("电话 電話 手机 手機 收件人 收货人 联系人 姓名 邮编 郵編 谢谢 可以吗 麻烦 请 但是 怎么 为什么 就可以 就行 才")
)
_TOWN: Final = either("市 区 區 县 縣 镇 鎮 旗")
_LANDMARK: Final = either(
    "路 街 道 巷 弄 村 镇 鎮 小区 大厦 大廈 广场 广場 花园 花園 公寓 苑 驿站 大学 学院 医院 宿舍 工业园 科技园"
)
_AREAS: Final = re.compile(
    rf"[{_HAN}]{{2,7}}(?:省|市|自治区|州|盟) ?[{_HAN}]{{1,7}}{_TOWN}|[{_HAN}]{{1,6}}{_TOWN} ?[{_HAN}0-9A-Za-z]{{1,12}}{_LANDMARK}"
)
_NUMBERED: Final = re.compile(rf"{_PLACE}.{{0,8}}?[0-9A-Za-z一二三四五六七八九十-]{{1,6}} ?{_DOOR}|{_PLACE} ?[0-9]{{1,5}}-[0-9]")
_LAST: Final = re.compile(
    either(
        "省 市 区 區 县 縣 镇 鎮 乡 鄉 村 路 街 道 巷 弄 号 號 栋 棟 幢 座 单元 室 楼 樓 层 層 园 園 苑 大厦 大廈 广场 廣場 公寓 店 处 组 "
        "宿舍 驿站 中心 大学 学院 医院 酒店 湾 府 庄 [0-9][0-9A-Za-z-]*+"
    )
)
"""What an address ends with."""
_FIRST: Final = "(?=[路街道巷胡村小社新花家公苑屯庄园園大广廣城府湾中工科学医宿校区區住址寄送发货递搬])"
"""What a hint begins with: looked for first, as that is quick."""
_CHINESE_HINT: Final = re.compile(
    rf"{_FIRST}(?:{_PLACE} ?[0-9A-Za-z零一二三四五六七八九十百东西南北中]|住|址|家在|[寄送发货递搬][到往至])"
)


def _chinese(text: str) -> Iterator[Found]:
    for match in _STREET.finditer(text):
        yield _begin_of(text, match.start()), match.end()
    for match in _CUE.finditer(text):
        value = _STOP.split(match[1], maxsplit=1)[0]
        if _AREAS.search(value) or _NUMBERED.search(value):
            *_, last = _LAST.finditer(value)
            yield match.start(1), match.start(1) + last.end()


def _begin_of(text: str, street: int) -> int:
    """Where the address begins whose street ends at `street`: behind the last cue in the same clause."""
    before = _BEFORE.search(text[max(0, street - _REACH) : street])
    begin = street - len(before[0]) if before else street
    for cue in _LEAD.finditer(text, begin, street):
        begin = cue.end()
    return street - len(text[begin:street].lstrip())


# -- English -------------------------------------------------------------------------------------

_TYPE: Final = either(
    "Street St Road Rd Avenue Ave Lane Ln Drive Dr Boulevard Blvd Court Ct Way Place Pl Square Sq Terrace Close Crescent Cres Highway Hwy "
    "Parkway Pkwy Circle Cir Row Gardens Grove Mews Walk Hill Quay Broadway Trail Park Alley Loop"
)
_DOOR_FIRST: Final = r"(?:(?:Flat|Apt|Apartment|Unit|Suite|Room|Floor|No)\.? ?#?[0-9]{1,4}[A-Za-z]?,? ){0,2}"
_DOOR_LAST: Final = r"(?:,? (?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm)\.? ?#?|#) ?[A-Za-z0-9-]{1,6}\b)?"
_POINT: Final = r"(?: (?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\b)?"
_NAME: Final = r"[A-Z][A-Za-z.'-]{1,20}(?![A-Za-z0-9])"
_CITY: Final = rf"(?:,\s?{_NAME}(?: {_NAME}){{0,3}})"
_US_ZIP: Final = r"[A-Z]{2},? [0-9]{5}"
_UK_POSTCODE: Final = r"[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}"
_ZIP: Final = rf"(?:{_US_ZIP}(?:-[0-9]{{4}})?|{_UK_POSTCODE}|[0-9]{{4,6}})(?![0-9A-Za-z])"
_TAIL: Final = rf"{_DOOR_LAST}{_CITY}{{0,3}}(?:,?\s{_ZIP})?(?:,? (?:USA|UK|U\.S\.A?\.?|United Kingdom|United States)\b)?"
_HOUSE: Final = r"(?<![0-9A-Za-z#$€£.,-])[0-9]{1,5}[A-Za-z]?(?:[-/][0-9]{1,4})?,?"
_NO_STREET: Final = either("Star Hour Day Week Month Year Way Inch Piece Pack Port Door Seat Watt Person People")
_NO_WORD: Final = either("days? weeks? hours? minutes? times? years? months? of the on in my")
_NO_CITY: Final = either("please thanks? not and but so or it the my you can asap")
_STREET_WORD: Final = "[A-Z0-9][A-Za-z0-9'’.]{0,20}[ -]"
# Each address, and each cue below, begins with one of the letters in the class: to ask for these first takes half the time.
_ENGLISH: Final = re.compile(
    rf"(?=[0-9FAUSRNP])(?:{_DOOR_FIRST}{_HOUSE} (?!{_NO_STREET}s?[ -])(?:{_STREET_WORD}){{1,4}}{_TYPE}(?![A-Za-z])\.?{_POINT}{_TAIL}"
    rf"|(?<![A-Za-z])P\.? ?O\.? ?Box [0-9]{{1,6}}{_TAIL})"
)
_CUED: Final = re.compile(
    r"(?=[albrsdmcp])(?:\baddress(?: is| was|:| to| should be| =| reads)*|\b(?:live|living|lives|stay|staying|based|located|reside) (?:at|on|in)"
    r"|\b(?:ship|deliver|send|moved?|come|delivered|shipped|sent|post)(?: it| them| this| everything| the \w+)? to:?) ?"
    rf"((?:(?:flat|apt|unit|apartment|suite|room) ?[0-9]{{1,4}}[a-z]?,? )?{_HOUSE} (?:(?!{_NO_WORD}\b)[a-z0-9'’.]{{1,20}} ){{1,4}}{_TYPE}"
    rf"(?![A-Za-z])\.?(?-i:{_TAIL})(?:, ?(?!{_NO_CITY}\b)[a-z]{{3,20}})?)",
    re.IGNORECASE,
)
_CUED_HINTS: Final = (
    "address", "live", "living", "stay", "based", "located", "reside", "ship", "deliver", "send", "move", "come", "sent", "post"
)  # fmt: skip
_FIELD: Final = re.compile(
    r"\b(?:(?:shipping|delivery|billing|home|postal|mailing|new|old|correct|full|my|return|street) )?address(?: is|:)? ?"
    rf"([^\n;\x00]{{4,90}}?\b(?:{_UK_POSTCODE}|{_US_ZIP})(?![0-9A-Za-z]))"
)
_STREET_HINT: Final = re.compile("[0-9][A-Za-z]?,? [A-Z0-9]")
_HOUSE_HINT: Final = re.compile(r"[0-9][A-Za-z]?,? [A-Za-z0-9'’.]{1,21}[ -][A-Za-z]")


def _english(text: str) -> Iterator[Found]:
    if not holds_digit(text):
        return
    if "ox " in text or _STREET_HINT.search(text):
        for match in _ENGLISH.finditer(text):
            yield match.span()
    if holds_one(text.lower(), _CUED_HINTS) and _HOUSE_HINT.search(text):
        for match in _CUED.finditer(text):
            yield match.span(1)
    if "address" in text:
        for match in _FIELD.finditer(text):
            yield match.span(1)


# -- both ----------------------------------------------------------------------------------------


def addresses(text: str) -> Iterator[Found]:
    """Postal addresses, Chinese and English."""
    if not text.isascii() and _CHINESE_HINT.search(text):
        yield from _chinese(text)
    yield from _english(text)
