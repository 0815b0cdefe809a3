"""What mail programs and habits put at the end of a message, and how much of a message there is without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ENOUGH: Final = 12
"""Letters and digits that a message needs to stand alone, each Chinese character counted twice; below, nothing is taken away."""
_ENOUGH_WITH_POINTER: Final = 80
"""The same for a message that points to what stands below it ("please see below")."""
_ENOUGH_LINES: Final = 200
_LONGEST_FAREWELL: Final = 7
_LONGEST_SIGNATURE: Final = 12
"""Lines that are not empty."""
_LONGEST_LINE: Final = 100
"""Characters; a longer line is text."""

_DEVICE: Final = re.compile(
    r"(?:sent from|get|von|gesendet von|envoyé de|enviado desde)\s(?:my|mein\w*|mon|mi)?\s?"
    r"(?:iphone|ipad|android|samsung|galaxy|huawei|xiaomi|pixel|mobile|phone|outlook|mail"
    r"|yahoo mail|proton ?mail|gmail|blackberry)"
    r"(?:\s(?:mobile|mail|phone|device|smartphone|tablet|gesendet|app|for|on|für|pour|windows|ios|android|iphone|ipad|mac|1[01]"
    r"|galaxy|[a-z]?\d{1,2}))*\s?(?:<[^<>]*>)?[.!]?"
    r"|(?:发自|發自|来自|來自|发送自|从|從)\s?我的?\s?[\w ]{0,12}"
    r"(?:iphone|ipad|android|安卓|手机|手機|平板|华为|荣耀|小米|oppo|vivo|三星|苹果)(?:\s?[a-z0-9+]{1,12}){0,3}\s?(?:发送|發送|客户端)?",
    re.IGNORECASE,
)
_DISCLAIMER: Final = re.compile(
    r"(?:this|the information (?:contained )?in this|the contents of this) (?:e-?mail|message|communication|transmission)\b"
    r".{0,80}(?:confidential|privileged|intended)|confidentiality notice\b|please consider the environment before"
    r"|diese e-?mail\b.{0,60}(?:vertraulich|bestimmt)"
    r"|[本此](?:电子)?邮件.{0,30}(?:附件|保密|机密|秘密|仅供|仅限)",
    re.IGNORECASE,
)
_GREETING: Final = re.compile(
    r"(?:dear|hi|hello|hey|good (?:morning|afternoon|evening|day)|sehr geehrte\w*|hallo|guten (?:tag|morgen)|bonjour|hola)"
    r"(?:\s[\w.]+){0,3}[\s,.!:]*|(?:您好|你好|尊敬的.{0,12}|亲爱的.{0,12})[\s,.!:，。！：]*",
    re.IGNORECASE,
)
_FAREWELL: Final = re.compile(
    r"(?:(?:(?:with )?(?:best|kind|kindest|warm|warmest|many)\s)?regards|(?:all the )?best(?: wishes)?"
    r"|(?:yours |very )?(?:sincerely|truly|faithfully)(?: yours)?|cordially|respectfully"
    r"|mit (?:freundlichen|besten|herzlichen) grü(?:ß|ss)en|(?:viele|beste|liebe|freundliche) grü(?:ß|ss)e|mfg|lg|vg"
    r"|cordialement|bien à vous|saludos|atentamente"
    r"|此致|敬礼|此致\s?敬礼|顺祝商祺|顺颂商祺|顺颂时祺|祝商祺|祝好|祝您?工作顺利|祝您?生活愉快|祝安好)[\s,.!，。！~～]*",
    re.IGNORECASE,
)
_THANKS: Final = re.compile(
    r"(?:(?:many )?thanks|thank you|thx|cheers|danke|vielen dank|merci|gracias)"
    r"(?: (?:and (?:best |kind )?regards|in advance|a lot|so much|very much|again|im voraus))?[\s,.!，。！~～]*"
    r"|(?:非常)?(?:谢谢|感谢|多谢|謝謝|感謝)(?:您|你|了|啦)?[\s,.!，。！~～]*",
    re.IGNORECASE,
)
_LATIN_WORD: Final = r"[A-ZÀ-Þ](?:[^\W\d_]|[.'’&-])*,?"
_LATIN_NAME: Final = re.compile(rf"{_LATIN_WORD}(?:\s(?:{_LATIN_WORD}|von|van|de|der|den|of|and|für|und|&|\|)){{0,6}}")
_HAN_NAME: Final = re.compile(
    "(?:[赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕张孔曹严华金魏陶姜谢邹苏潘范彭郎韦苗花方俞任袁柳鲍史唐费岑薛雷贺倪汤滕罗毕郝安常"
    "乐于傅皮齐康伍余元卜顾孟黄穆萧尹姚邵汪祁毛狄米贝戴宋庞熊纪舒屈项祝董梁杜阮蓝季贾路江童郭梅林钟徐邱骆高夏蔡田胡凌霍万柯卢莫"
    "房丁邓洪石崔龚程陆翁段侯刘叶白蒲赖乔温向易廖曾沙欧阳马][\u4e00-\u9fff]{1,2}|[\u4e00-\u9fff]{1,3}(?:先生|女士|小姐|经理|老师))(?:\\s?敬上)?"
)
_CONTACT: Final = re.compile(
    r"(?:tel|phone|mobile|mob|cell|fax|e-?mail|mail|web|www|skype|t|m|f|e|w|电话|手机|传真|邮箱|网址|公司)\s?[.:：].{1,80}"
    r"|(?:\+|\(?0|1[3-9])[\d ()/.-]{6,22}|(?:https?://|www\.)\S{1,80}|\S{1,60}@\S{1,60}",
    re.IGNORECASE,
)
_DASHES: Final = "--"


def signature(text: str) -> str:
    """`text` without what mail programs and habits put at its end.

    That is: the short lines behind a line of two dashes, "Sent from my iPhone", confidentiality notices, and a closing formula
    with nothing but names and contact data behind it. All of it stays if too little else is there.
    """
    if "\n" not in text:
        return text
    lines = text.split("\n")
    stripped = [line.strip() for line in lines]
    notices = _notices(stripped)
    kept = ["" if i in notices else line for i, line in enumerate(stripped)]
    least = _solid(kept)
    if least is None:
        return text
    end = _end(kept, least)
    if not notices and not any(stripped[end:]):
        return text
    return "\n".join("" if i in notices else line for i, line in enumerate(lines[:end]))


def says_enough(lines: Sequence[str]) -> bool:
    """Whether these stripped lines are a message of their own, apart from greeting and signature."""
    if len(lines) > _ENOUGH_LINES:
        return True
    notices = _notices(lines)
    kept = ["" if i in notices else line for i, line in enumerate(lines)]
    body = [line for line in kept[: _end(kept, 0)] if line and not _is_formula(line)]
    enough = _ENOUGH_WITH_POINTER if any(_POINTER.search(line) for line in body) else _ENOUGH
    return sum(_weight(line, enough) for line in body) >= enough


_POINTER: Final = re.compile(
    r"\b(?:below|fyi|forward(?:ed|ing)?|unten|weitergeleitet|attached mail)\b|下面|下方|以下|如下|见下|转发|附件邮件",
    re.IGNORECASE,
)


def _notices(lines: Sequence[str]) -> set[int]:
    """The indices of lines that a device or a legal department added: single lines, or paragraphs."""
    found: set[int] = set()
    inside = False
    for i, line in enumerate(lines):
        inside = bool(line) and (inside or bool(_DISCLAIMER.match(line)))
        if inside or (0 < len(line) <= _LONGEST_LINE and _DEVICE.fullmatch(line)):
            found.add(i)
    return found


def _solid(lines: Iterable[str]) -> int | None:
    """The number of lines that hold enough of a message; None where all of them do not."""
    total = 0
    for count, line in enumerate(lines, start=1):
        if line and not _is_formula(line):
            total += _weight(line, _ENOUGH)
        if total >= _ENOUGH:
            return count
    return None


def _end(lines: Sequence[str], least: int) -> int:
    """The number of lines before the signature, at least `least`."""
    end = len(lines)
    dashes = lines.count(_DASHES) == 1  # more of them separate the parts of a text
    while True:
        while end > least and not lines[end - 1]:
            end -= 1
        begin = _signature_before(lines, end, least, dashes=dashes)
        if begin is None:
            return end
        end = begin


def _signature_before(lines: Sequence[str], end: int, least: int, *, dashes: bool) -> int | None:
    """Where the signature begins that ends at `end`; None where none does. `dashes`: whether a line of dashes begins one."""
    below: list[str] = []
    for index in range(end - 1, least - 1, -1):
        line = lines[index]
        if not line:
            continue
        if line == _DASHES:
            return index if dashes else None
        if len(line) > _LONGEST_LINE:
            return None
        if len(below) <= _LONGEST_FAREWELL and _closes(line, below):
            return index
        below.append(line)
        if len(below) > _LONGEST_SIGNATURE or "?" in line or "？" in line:
            return None
    return None


def _closes(line: str, below: Sequence[str]) -> bool:
    """Whether `line` is a closing formula with a signature below it: names and contact data, nothing else."""
    if _FAREWELL.fullmatch(line):
        return all(_is_name(other) or _CONTACT.fullmatch(other) or _FAREWELL.fullmatch(other) for other in below)
    return bool(_THANKS.fullmatch(line)) and len(below) <= 1 and all(_is_name(other) for other in below)


def _is_name(line: str) -> bool:
    return bool(_LATIN_NAME.fullmatch(line) or _HAN_NAME.fullmatch(line))


def _is_formula(line: str) -> bool:
    if len(line) > _LONGEST_LINE:
        return False
    return line == _DASHES or any(formula.fullmatch(line) for formula in (_GREETING, _FAREWELL, _THANKS))


def _weight(line: str, enough: int) -> int:
    """Letters and digits of `line`, a Chinese character counted twice; counting stops at `enough`."""
    total = 0
    for c in line:
        if c.isalnum():
            total += 1 + ("\u4e00" <= c <= "\u9fff")
            if total >= enough:
                break
    return total
