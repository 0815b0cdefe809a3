"""What a reply carries besides the message: quoted mails, and prefixes of the title."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from llmtriage.prepare.signature import says_enough

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIXES: Final = re.compile(
    r"\s*+(?:(?:re|fwd?|aw|wg|antw|sv|tr|rv|回复|回覆|答复|转发|轉寄|轉發)\s*+(?:\[\d+\]|\(\d+\)|\d{1,2})?\s*+[:：]\s*+)++",
    re.IGNORECASE,
)
_SEPARATOR: Final = re.compile(
    r"[-_]{2,}\s*(?:original message|original-?nachricht|ursprüngliche nachricht|message d'origine|mensaje original"
    r"|原始邮件|原邮件|原始郵件|回复的原邮件)\s*[-_]{2,}",
    re.IGNORECASE,
)
_ATTRIBUTION_BEGINS: Final = ("on ", "at ", "am ", "le ", "el ", "在", "于")
_ATTRIBUTION_ENDS: Final = re.compile(
    r"(?:\bwrote|\ba écrit|\bschrieb(?: .{0,100})?|\bescribió)\s*[:：]$|[写寫]道\s*[:：]?$", re.IGNORECASE
)
_NAME_FIRST: Final = re.compile(r"(?:[于在]\s*\d{4}|@.{1,80}>\s*[于在]).{0,100}[写寫]道\s*[:：]?$")
_TIME_OR_ADDRESS: Final = re.compile(r"\d[:：时點点]\d\d|\d\s*[时點点]|\S@\S")
_DATE: Final = re.compile(r"\d{4}\s*[年./-]\s*\d|\d\s*[./-]\s*\d{1,2}\s*[./-]\s*\d{2}|[12]\d{3}")
_LONGEST_ATTRIBUTION: Final = 600
_ATTRIBUTION_LINES: Final = 3
_SENDER: Final = re.compile(r"\**(?:from|von|de|发件人|寄件者)\**\s*[:：]", re.IGNORECASE)
_SUBJECT: Final = re.compile(r"\**(?:subject|betreff|objet|asunto|主题|主旨)\**\s*[:：]", re.IGNORECASE)
_OTHER_HEADER: Final = re.compile(
    r"\**(?:to|cc|date|sent|an|datum|gesendet|à|envoyé|para|fecha|收件人|收件者|抄送|日期|时间|发送时间)\**\s*[:：]",
    re.IGNORECASE,
)
_HEADER_LINES: Final = 8
_NO_QUOTE: Final = re.compile(r">\s*[\d<>=_.€$£¥￥]")
_MOST_MARKERS: Final = 20
"""Beginnings of quoted mails looked at; a thread of more without a word of its own is kept."""


def reply_prefixes(title: str) -> str:
    """`title` without Re:, Fwd:, 回复: and the like at its beginning."""
    found = _PREFIXES.match(title)
    return title[found.end() :] if found else title


def quotes(text: str) -> str:
    """`text` without the mails it quotes.

    Lines that begin with > go, with the line that says who wrote them. Behind any other beginning of a quoted mail
    ("On ... wrote:", "-----Original Message-----", a block of From, Sent, Subject) everything goes. Nothing goes if too little is
    left to say something: then the quoted mail is the message. What is marked as forwarded is no quote.
    """
    if "\n" not in text or not any(hint in text for hint in (">", ":", "：", "写道", "寫道", "--", "__")):
        return text
    lines = text.split("\n")
    stripped = [line.strip() for line in lines]
    quoted = _quoted_lines(stripped)
    own, end = _own_lines(["" if i in quoted else line for i, line in enumerate(stripped)])
    if (not quoted and end == len(lines)) or not says_enough(own):
        return text
    return "\n".join("" if i in quoted else line for i, line in enumerate(lines[:end]))


def _quoted_lines(lines: Sequence[str]) -> set[int]:
    """The indices of lines that begin with > and of the attributions above them; a lone "> 3 days late" is none."""
    found = {i for i, line in enumerate(lines) if line.startswith(">")}
    lone = {i for i in found if i - 1 not in found and i + 1 not in found and _NO_QUOTE.match(lines[i])}
    quoted = found - lone
    above = {j for i in quoted if i - 1 not in quoted for j in _attribution_above(lines, i)}
    return quoted | above


def _attribution_above(lines: Sequence[str], index: int) -> range:
    """The indices of the attribution that ends above `index`, with at most one empty line between."""
    end = index - 1 if index and lines[index - 1] else index - 2
    for begin in range(end, end - _ATTRIBUTION_LINES, -1):
        if begin < 0 or not lines[begin]:
            break
        if _attribution_at(lines, begin, dated=True) == end + 1:
            return range(begin, index)
    return range(0)


def _own_lines(lines: Sequence[str]) -> tuple[list[str], int]:
    """The lines that are no marker, and the index from which on everything is a quoted mail."""
    own: list[str] = []
    index = markers = 0
    while index < len(lines):
        end = _marker_at(lines, index)
        if end is not None:
            if markers < _MOST_MARKERS and says_enough(own):
                return own, index
            markers += 1
        elif lines[index]:
            own.append(lines[index])
        index = end or index + 1
    return own, len(lines)


def _marker_at(lines: Sequence[str], index: int) -> int | None:
    """The index behind the marker that begins at `index`, if a quoted mail begins there."""
    if not lines[index]:
        return None
    if _SEPARATOR.fullmatch(lines[index]):
        return index + 1
    return _attribution_at(lines, index, dated=False) or _headers_at(lines, index)


def _attribution_at(lines: Sequence[str], index: int, *, dated: bool) -> int | None:
    """The index behind the attribution that begins at `index`, if one does: with a time or an address, if `dated` with a date."""
    if lines[index][:3].lower().startswith(_ATTRIBUTION_BEGINS):
        for end in range(index + 1, min(len(lines), index + _ATTRIBUTION_LINES) + 1):
            if not lines[end - 1]:
                break
            if _ATTRIBUTION_ENDS.search(lines[end - 1][-200:]):
                return end if _says_when(" ".join(lines[index:end]), dated=dated) else None
    if len(lines[index]) < _LONGEST_ATTRIBUTION and _NAME_FIRST.search(lines[index]) and _says_when(lines[index], dated=dated):
        return index + 1
    return None


def _says_when(attribution: str, *, dated: bool) -> bool:
    if len(attribution) > _LONGEST_ATTRIBUTION:
        return False
    return bool(_TIME_OR_ADDRESS.search(attribution) or (dated and _DATE.search(attribution)))


def _headers_at(lines: Sequence[str], index: int) -> int | None:
    """The index behind the block of mail headers that begins at `index`, if one does.

    From, to and date alone are also a journey or a parcel: a block needs a subject, or an address of the sender.
    """
    if not _SENDER.match(lines[index]):
        return None
    end, subject, others = index + 1, False, False
    for line in lines[end : index + _HEADER_LINES]:
        if _SUBJECT.match(line):
            subject = True
        elif _OTHER_HEADER.match(line):
            others = True
        elif line and "@" not in line:
            break
        end += 1
    return end if subject or (others and "@" in lines[index]) else None
