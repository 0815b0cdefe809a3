r"""Numbers that name a person or an account: identity cards, bank cards, IBAN, phones, licence plates.

No `\b`: between a Chinese character and a digit there is no word boundary. What stands directly before a number decides where the
format leaves doubt: a cue word ("phone", 卡号) makes it one, "order no." or 运单号 unmakes it. Where a pattern begins with
(?=[...]), that is for speed alone.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from llmtriage.prepare.personal.words import either, holds_digit, holds_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.prepare.personal import Found

_BEGIN: Final = r"(?<![0-9A-Za-z*])(?<![0-9][-._])(?<![A-Za-z][-_#])(?<![$¥€£])"
_END: Final = r"(?![0-9A-Za-z*])(?![-._][0-9])(?![-_][A-Za-z])(?!,\d{3}(?!\d))(?! ?(?:元|块|美元|件|[MGK]B|kg|USD|EUR|RMB))"
_LOOK_BACK: Final = 40
_SEVERAL_DIGITS: Final = re.compile(r"[0-9][0-9 .()*xX•/-]{4,}[0-9Xx]")
_AROUND: Final = 64
"""Characters around a run of digits that may belong to its number, such as the letters of an IBAN, or that decide about it."""
_LINK: Final = r"(?:号码?|號碼?|编号|編號|是|为|為|改成|改为|换成|填|no\.?|nr\.?|num(?:ber)?|id|code|is|was|to|at|on|[\s:=)#№\"'“(（【\[-])*+"
"""What may stand between a cue word and its number."""
_OTHER_CHINESE: Final = either(
    "订单 訂單 单号 單號 运单 快递 物流 包裹 工单 流水 交易 发票 税号 编号 編號 型号 序列号 批号 批次 条码 条形码 商品 货号 会员 设备 机身 "
    "合同 案件 版本 代码 代碼 取件码 验证码 预约 报修 保单 工号 学号 邮编 积分 金额 余额 会员卡 礼品卡 充值卡 购物卡 电话卡 流量卡 qq"
)
_OTHER_ENGLISH: Final = either(
    "order tracking waybill parcel shipment package invoice ticket case ref(?:erence)? transaction serial model barcode item product batch lot "
    "booking confirmation receipt contract policy version firmware build error code sku ean upc isbn imei s/?n po rma mac zip awb "
    "amount balance total "
    "(?:gift|member(?:ship)?|loyalty|sim|reward|store|library)\\scard"
)
_OTHER: Final = re.compile(rf"(?:{_OTHER_CHINESE}|\b{_OTHER_ENGLISH}){_LINK}\Z", re.IGNORECASE)


@functools.lru_cache(maxsize=1)  # several kinds ask, one after the other
def _region(text: str) -> tuple[int, int] | None:
    """Where to look: around the runs of several digits, of which each of these numbers but plates holds one. None: there is none."""
    first = _SEVERAL_DIGITS.search(text)
    if first is None:
        return None
    *_, last = _SEVERAL_DIGITS.finditer(text, first.start())
    return max(0, first.start() - _AROUND), last.end() + _AROUND


def _before(text: str, start: int) -> str:
    return text[max(0, start - _LOOK_BACK) : start]


def _is_another(text: str, start: int) -> bool:
    """Whether the words before say that the number at `start` is an order, a parcel, a serial number."""
    return bool(_OTHER.search(_before(text, start)))


def _digits(text: str) -> str:
    return "".join(c for c in text if c in "0123456789")


# -- Chinese identity numbers --------------------------------------------------------------------

_CN_ID: Final = re.compile(
    rf"{_BEGIN}[1-9][0-9]{{5}}[ -]?(?:18|19|20)[0-9]{{2}}[ -]?(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[ -]?[0-9]{{3}}[0-9Xx](?![0-9A-Za-z])"
)
_CUED_CN_ID: Final = re.compile(
    rf"{_BEGIN}(?:[1-9][0-9]{{7}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{{3}}|[A-Z]{{1,2}}[0-9]{{6}}\(?[0-9A]\)?|[A-Z][0-9]{{9}}){_END}"
)
"""Of 15 digits, from before 2000; of Hong Kong, of Taiwan."""
_HIDDEN_CN_ID: Final = re.compile(
    r"(?<![0-9A-Za-z*])(?=[0-9*]{14}(?:[0-9*]{3})?[0-9Xx*](?![0-9A-Za-z*]))[1-9][0-9]{0,9}\*{4,17}[0-9]{0,4}[0-9Xx]?"
)
_CN_ID_CUE: Final = re.compile(
    rf"(?:身份证|身份證|证件|證件|\b(?:id(?:entity)?(?: card)?|national id|resident id|identification)){_LINK}\Z", re.IGNORECASE
)
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def cn_ids(text: str) -> Iterator[Found]:
    """Numbers of Chinese identity cards: by date and check digit, or by a cue word; other cards by a cue word only."""
    region = _region(text)
    if region is None:
        return
    for match in _CN_ID.finditer(text, *region):
        if _has_check_digit(match[0]) or _CN_ID_CUE.search(_before(text, match.start())):
            yield match.span()
    for match in _CUED_CN_ID.finditer(text, *region):
        if _CN_ID_CUE.search(_before(text, match.start())):
            yield match.span()
    if "****" in text:
        for match in _HIDDEN_CN_ID.finditer(text, *region):
            if match.end() - match.start() == 18 or _CN_ID_CUE.search(_before(text, match.start())):
                yield match.span()


def _has_check_digit(number: str) -> bool:
    figures = [c for c in number.upper() if c not in " -"]
    total = sum(weight * int(figure) for weight, figure in zip(_WEIGHTS, figures, strict=False))
    return "10X98765432"[total % 11] == figures[-1]


# -- IBAN ----------------------------------------------------------------------------------------

_IBAN: Final = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![0-9A-Za-z])", re.IGNORECASE
)
_IBAN_CUE: Final = re.compile(rf"\biban{_LINK}\Z", re.IGNORECASE)
_LEAST_IBAN: Final = 15
_LEAST_IBAN_DIGITS: Final = 7


def ibans(text: str) -> Iterator[Found]:
    """IBAN by their check digits, also in groups of four; behind the word IBAN also mistyped ones."""
    region = _region(text)
    if region is None:
        return
    for match in _IBAN.finditer(text, *region):
        length = _iban_in(match[0])
        if length:
            yield match.start(), match.start() + length
        elif len(_digits(match[0])) > _LEAST_IBAN_DIGITS and _IBAN_CUE.search(_before(text, match.start())):
            yield match.span()


def _iban_in(text: str) -> int:
    """The length of the IBAN that `text` begins with; words behind it look like further groups. 0: none."""
    while len(text) >= _LEAST_IBAN:
        bare = text.replace(" ", "").replace("-", "")
        if len(_digits(bare)) > _LEAST_IBAN_DIGITS and int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1:
            return len(text)
        text = text[: max(text.rfind(" "), text.rfind("-"), 0)]
    return 0


# -- bank cards ----------------------------------------------------------------------------------

_CARD: Final = re.compile(
    rf"{_BEGIN}(?:[0-9]{{12,19}}|[0-9]{{4}}(?:([ -])[0-9]{{4}})(?:\1[0-9]{{4}}){{1,3}}(?:\1[0-9]{{1,3}})?|3[0-9]{{3}}([ -])[0-9]{{6}}\2[0-9]{{4,5}}"
    rf"|[0-9]{{6}}[ -][0-9]{{10,13}}){_END}"
)
_HIDDEN_CARD: Final = re.compile(
    r"(?<![0-9A-Za-z*])[0-9]{4,6}(?=[ *xX•-]{4})(?:[ -]?[*xX•]{2,12}){1,4}[ -]?[0-9]{3,4}(?![0-9A-Za-z*])"
)
_ISSUED: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6\d{15,18}|95588\d{14}"
)
"""Lengths and first digits of the large issuers. 13 digits are an article's bar code unless they begin with 4."""
_CARD_CUE: Final = re.compile(
    r"(?:卡号|卡號|银行卡|銀行卡|储蓄卡|信用卡|借记卡|工资卡|银行|銀行|[工建农招中交]行卡?|账[号户]|帐[号户]|[賬帳]號|(?:这|那|我|一)张?卡"
    rf"|\b(?:(?:credit|debit|bank)? ?card|visa|master ?card|amex|unionpay|account)){_LINK}\Z",
    re.IGNORECASE,
)
_LEAST_CUED_CARD: Final = 15
_LEAST_HIDDEN_CARD: Final = 12


def bank_cards(text: str) -> Iterator[Found]:
    """Card numbers by issuer and check digit (Luhn), or by a cue word whatever the check digit; also with stars inside."""
    region = _region(text)
    if region is None:
        return
    for match in _CARD.finditer(text, *region):
        if _is_another(text, match.start()):
            continue
        number = _digits(match[0])
        cued = len(number) >= _LEAST_CUED_CARD and _CARD_CUE.search(_before(text, match.start()))
        if cued or (_ISSUED.fullmatch(number) and _has_luhn(number)):
            yield match.span()
    for match in _HIDDEN_CARD.finditer(text, *region):
        if match.end() - match.start() >= _LEAST_HIDDEN_CARD and not _is_another(text, match.start()):
            yield match.span()


def _has_luhn(number: str) -> bool:
    doubled = (sum(divmod(2 * int(c), 10)) for c in number[-2::-2])
    return (sum(int(c) for c in number[-1::-2]) + sum(doubled)) % 10 == 0


# -- phones --------------------------------------------------------------------------------------

_EXTENSION: Final = r"(?: ?(?:转|轉|ext\.?|extension|x|分机) ?[0-9]{1,5})?"
_PHONE_BEGIN: Final = rf"(?:{_BEGIN}|(?<=[Tt]el)|(?<=TEL)|(?<=[Pp]hone)|(?<=[VWvw][Xx]))"
_MOBILE: Final = re.compile(
    rf"(?=[(+81])(?:(?<![0-9A-Za-z+])\(?\+?86\)?[ -]?|{_PHONE_BEGIN})"
    rf"(1[ .-]?[3-9](?:[ .-]?[0-9]){{9}}|1[3-9][0-9][ -]?[*xX]{{4}}[ -]?[0-9]{{4}}){_END}"
)
_MOBILE_GROUPS: Final = frozenset(
    ((11,), (3, 4, 4), (3, 8), (4, 4, 3), (4, 3, 4), (3, 3, 5), (5, 6), (7, 4), (3, 2, 2, 2, 2), (1,) * 11)
)
_PHONE: Final = re.compile(
    rf"(?=[(+0-9])(?:(?<![0-9A-Za-z+])(?:\+|00(?=86|85[23]|886|44|49|33|1[2-9]))[1-9][0-9]{{0,3}}(?:[ .()/-]{{0,2}}[0-9]){{6,13}}"
    # landlines in China, with their area
    rf"|{_PHONE_BEGIN}(?:\(0[1-9][0-9]{{1,2}}\) ?|0[1-9][0-9]{{1,2}}[ -])[2-9][0-9]{{2,3}}[ -]?[0-9]{{4}}"
    # North America
    rf"|{_PHONE_BEGIN}(?:\+?1[ .-])?(?:\([2-9][0-9]{{2}}\)[ .-]?[2-9][0-9]{{2}}[ .-]?|[2-9][0-9]{{2}}[ .-][2-9][0-9]{{2}}[ .-])[0-9]{{4}}"
    # elsewhere: a trunk zero and groups, or 11 digits and more in one
    rf"|{_PHONE_BEGIN}(?![0-3]?[0-9][ -][01]?[0-9][ -](?:19|20)[0-9]{{2}})\(?0[1-9][0-9]{{0,4}}\)?(?:[ -][0-9]{{2,8}}){{1,5}}"
    rf"|{_PHONE_BEGIN}0[1-9][0-9]{{9,10}})"
    rf"{_EXTENSION}{_END}",
    re.IGNORECASE,
)
_PERHAPS_PHONE: Final = re.compile(
    rf"(?=[(0-9]){_PHONE_BEGIN}\(?[0-9](?:[ .()/-]{{0,2}}[0-9*]){{6,14}}{_EXTENSION}{_END}", re.IGNORECASE
)
_PHONE_CUE_CHINESE: Final = either(
    "电话 電話 手机 手機 座机 固话 联系方式 聯絡方式 致电 拨打 来电 回电 打给我 打我 传真 (?:新|旧|原|联系|这个|我的|我)号码? 微信 短信"
)
_PHONE_CUE: Final = re.compile(
    rf"(?:{_PHONE_CUE_CHINESE}|\b(?:(?:call|ring|text|phone|reach|contact)(?: me| us| him| her| back| today| now| please)*|phone|mobile|mob"
    r"|cell(?:phone)?|tel(?:ephone)?|fax|landline|whats ?app|(?:my|his|her|our|new|best|contact)"
    r" (?:(?:new|old|other|best|contact|direct|mobile|phone|cell|home|work|office) )?(?:number|no)(?:'s)?|ph|[tmp](?=[:.]))\.?)"
    rf"{_LINK}\Z",
    re.IGNORECASE,
)
_SERVICE: Final = re.compile(r"[48]00\d{7}|1?8(?:00|33|44|55|66|77|88)\d{7}|(?:0800|0808)\d{6,7}|95\d{3}")
"""Numbers of companies, which anybody may call."""
_DATE: Final = re.compile(
    r"(?:19|20)\d\d[ ./-]?(?:0?[1-9]|1[0-2])[ ./-]?(?:0?[1-9]|[12]\d|3[01])(?!\d)|\d{1,3}(?:\.\d{1,3}){3}\Z|\d+\.\d+\Z"
)
_LEAST_PHONE, _LONGEST_PHONE = 7, 15
_LEAST_GROUPED: Final = 9
_SEPARATOR: Final = re.compile("[ .-]")


def phones(text: str) -> Iterator[Found]:
    """Phone numbers by their format, or by a cue word before any 7 to 15 digits; not the service lines of companies (400, 800)."""
    region = _region(text)
    if region is None:
        return
    for match in _MOBILE.finditer(text, *region):
        grouped = "*" in match[1] or "x" in match[1].lower() or tuple(map(len, _SEPARATOR.split(match[1]))) in _MOBILE_GROUPS
        if grouped and not _is_another(text, match.start()):
            yield match.span()
    for match in _PHONE.finditer(text, *region):
        digits = _digits(match[0])
        if len(digits) >= _LEAST_GROUPED and not _SERVICE.fullmatch(digits) and not _is_another(text, match.start()):
            yield match.span()
    for match in _PERHAPS_PHONE.finditer(text, *region):
        if _PHONE_CUE.search(_before(text, match.start())) and not _is_another(text, match.start()) and not _DATE.match(match[0]):
            digits = _digits(match[0])
            if _LEAST_PHONE <= len(digits) <= _LONGEST_PHONE and not _SERVICE.fullmatch(digits):
                yield match.span()


# -- licence plates ------------------------------------------------------------------------------

_PLATE: Final = re.compile(
    "[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼滬遼魯蘇贛鄂陝閩貴粵寧瓊](?<![全最更崭翻刷创清重].) ?[A-HJ-NP-Za-hj-np-z][ ·•.-]?"
    "(?=[A-Za-z0-9]{0,5}[0-9])(?:[A-HJ-NP-Za-hj-np-z0-9]{5,6}|[A-HJ-NP-Za-hj-np-z0-9]{4}[挂学警港澳])(?![0-9A-Za-z])"
)
_CUED_PLATE: Final = re.compile(
    r"(?=[车車lnrcvtp])(?:车牌(?:号码?)?|車牌(?:號碼?)?"
    r"|\b(?:licen[cs]e|number|registration|car|vehicle|tag) plates?|\bplates?(?= (?:no|number|is|was)|:| #)"
    r"|\b(?:car|van|vehicle) reg(?:istration)?|\breg(?:istration)?(?: no\.?| number| plate|:))"
    r"(?: ?(?:number|no\.?|is|was|是|为|of my car|of the car|[:#(\"']))* ?"
    r"((?-i:(?=[A-Z0-9 -]{0,9}[0-9])(?=[A-Z0-9 -]{0,9}[A-Z])[A-Z0-9]{1,7}(?:[ -][A-Z0-9]{1,5}){0,2}))(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_SHAPED_PLATE: Final = re.compile(
    r"(?=[prmvPRMV])\b(?i:plates?|registration|reg|parked|parking|my car|my van|vehicle)\b[^.;\n0-9]{0,25}?(?<![0-9A-Za-z-])"
    r"([A-Z]{2}[0-9]{2} ?[A-Z]{3}|[A-Z]{3}[ -][0-9]{3,4}|[0-9][A-Z]{3}[0-9]{3}|[A-Z]{1,3}-[A-Z]{1,2} ?[0-9]{1,4}|[0-9]{3}[ -][A-Z]{3})"
    r"(?![0-9A-Za-z-])"
)
_PLATE_HINTS: Final = ("plate", "reg", "park", "my car", "my van", "vehicle", "车牌", "車牌")


def plates(text: str) -> Iterator[Found]:
    """Chinese licence plates by their format, all others behind a cue word."""
    if not holds_digit(text):
        return
    for match in () if text.isascii() else _PLATE.finditer(text):
        yield match.span()
    if holds_one(text.lower(), _PLATE_HINTS):
        for pattern in (_CUED_PLATE, _SHAPED_PLATE):
            for match in pattern.finditer(text):
                yield match.span(1)
