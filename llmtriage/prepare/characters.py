"""Characters: one way to write each, none that nobody sees, and no needless white space."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# -- unicode -------------------------------------------------------------------------------------

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FOLDED: Final = re.compile("[＃-％＊＋－-９＝＠Ａ-Ｚ＿ａ-ｚ⼀-⿕ﬀ-ﬆ𝐀-𝟿]")
_MARKS_PERHAPS: Final = re.compile(r"[^\w\s\x00-\x7f]{31,}")
_MOST_MARKS: Final = 30
"""Combining marks on one character: the limit of Unicode's Stream-Safe Text Format. Sorting longer runs takes quadratic time."""


def unicode(text: str) -> str:
    """`text` in NFC, with full-width letters and digits, ligatures, Kangxi radicals and mathematical letters as plain ones.

    Not NFKC: that would also turn Chinese punctuation into ASCII, ① into 1, ² into 2 and ℃ into °C, which changes what a model
    reads and what a customer meant. Full-width < > & stay, so that folding never makes markup. Half of a surrogate pair becomes
    U+FFFD.
    """
    if text.isascii():
        return text
    text = _SURROGATE.sub("\ufffd", text)
    text = _FOLDED.sub(_plain, text)
    text = _fewer_marks(text)
    if unicodedata.is_normalized("NFC", text):
        return text
    return _fewer_marks(unicodedata.normalize("NFC", text))


def _plain(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def _fewer_marks(text: str) -> str:
    return _MARKS_PERHAPS.sub(_first_marks, text)


def _first_marks(match: re.Match[str]) -> str:
    kept, run = [], 0
    for c in match[0]:
        run = run + 1 if unicodedata.combining(c) else 0
        if run <= _MOST_MARKS:
            kept.append(c)
    return "".join(kept)


# -- invisible -----------------------------------------------------------------------------------

_LINE_END: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_EMOJI: Final = (
    "\u00a9\u00ae\u203c\u2049\u2100-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff"
)
_JOINED_SCRIPTS: Final = (
    "\u0600-\u06ff\u0710-\u07bf\u0840-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1820-\u18aa\ufb50-\ufdff\ufe70-\ufefc"
)
_VARIATIONS: Final = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_NEVER_SEEN: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_UNUSUAL: Final = re.compile(f"[\r\x0b\x0c\u2028\u2029\x85\u200c\u200d{_VARIATIONS}{_NEVER_SEEN}]")
_NEVER_SEEN_RUN: Final = re.compile(f"[{_NEVER_SEEN}]+")
_LOOSE_JOINER: Final = re.compile(
    f"\u200d(?<![{_EMOJI}]\u200d)(?<![{_JOINED_SCRIPTS}]\u200d)|\u200d(?![{_EMOJI}{_JOINED_SCRIPTS}])"
    f"|\u200c(?<![{_JOINED_SCRIPTS}]\u200c)|\u200c(?![{_JOINED_SCRIPTS}])"
)
_NEEDLESS_VARIATIONS: Final = re.compile(f"(?:(?<=[{_VARIATIONS}])|(?<=\\s)|\\A)[{_VARIATIONS}]+")


def invisible(text: str) -> str:
    """`text` without what nobody sees: zero-width and direction marks, tag characters, soft hyphens, control characters.

    They hide instructions to a model and split words. Joiners stay inside emoji and scripts that need them, and one variation
    selector stays behind a character. Line ends of every kind become line feeds.
    """
    if (text.isascii() and text.isprintable()) or not _UNUSUAL.search(text):
        return text
    text = _LINE_END.sub("\n", text)
    text = _NEVER_SEEN_RUN.sub("", text)
    text = _LOOSE_JOINER.sub("", text)
    return _NEEDLESS_VARIATIONS.sub("", text)


# -- whitespace ----------------------------------------------------------------------------------

_UNTIDY: Final = re.compile(r"[^\S\n ]|  | \n|\n |\n\n\n|\A\s|\s\Z")
_BLANKS: Final = re.compile(r"[^\S\n]+")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def whitespace(text: str) -> str:
    """`text` with single spaces, lines at most one empty line in a row, and nothing around lines and text."""
    if _is_tidy_line(text) or not _UNTIDY.search(text):
        return text
    text = _BLANKS.sub(" ", text).replace(" \n", "\n").replace("\n ", "\n")
    return _EMPTY_LINES.sub("\n\n", text).strip()


def _is_tidy_line(text: str) -> bool:
    """Whether it is one line with single spaces, as most texts are: seen in a tenth of the pattern's time."""
    return text.isprintable() and "  " not in text and text == text.strip()  # of white space only the space is printable


def one_line(text: str) -> str:
    """`text` on one line, with single spaces."""
    return " ".join(text.split())
