"""Mail addresses and web addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from llmtriage.prepare.personal.words import either, holds_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.prepare.personal import Found

_HAN: Final = "\u4e00-\u9fff"
_HAN_ENDS: Final = "公司|中国|中國|网络|網絡|网址|集团|香港|台湾|台灣|在线|中文网|商城|网店"
"""Ends of domains in Chinese; elsewhere Chinese characters behind an address belong to the sentence."""

# -- mail ----------------------------------------------------------------------------------------

_LOCAL: Final = r"(?:(?<![\w.%+-])|(?<=[^\x00-\x7f]))[A-Za-z0-9._%+-]++"
_DOMAIN: Final = rf"(?!\d+x\.)(?:[A-Za-z0-9{_HAN}-]{{1,63}}\.){{1,8}}(?:[A-Za-z]{{2,24}}(?![A-Za-z0-9])|{_HAN_ENDS})"
_EMAIL: Final = re.compile(rf"(?:{_LOCAL}|[{_HAN}]{{1,6}}) ?@ ?{_DOMAIN}")
_LABEL: Final = r"[A-Za-z0-9-]{1,63}"
_DISGUISED: Final = re.compile(
    rf"{_LOCAL} ?(?:[\[({{] ?at ?[\])}}] ?{_LABEL}(?: ?(?:\.|[\[({{] ?dot ?[\])}}]| dot ) ?{_LABEL}){{1,4}}"
    rf"|(?<= )at {_LABEL}(?: dot {_LABEL}){{1,4}}|(?:艾特|#) ?(?:qq|163|126|139|gmail|sina|outlook|hotmail|foxmail|icloud)(?:\\.|点|點)(?:com|cn)"
    r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_AT: Final = re.compile(r"[\[({] ?at ?[\])}]| dot |艾特|#[a-z1]", re.IGNORECASE)
_AT_HINTS: Final = ("[at", "[ at", "(at", "( at", "{at", "{ at", " dot ", "艾特", "#")


def emails(text: str) -> Iterator[Found]:
    """Mail addresses, also with Chinese domains, and in disguise such as "bob (at) example.com"."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield match.span()
    if holds_one(text.lower(), _AT_HINTS) and _AT.search(text):
        for match in _DISGUISED.finditer(text):
            yield match.span()


# -- web -----------------------------------------------------------------------------------------

_END: Final = rf"\s<>\"`，。；！？、《》「」【】“”‘’\x00{_HAN}"
_REST: Final = rf"[^{_END}]*+"
_ENDS: Final = either(
    "com cn net org edu gov io co uk de fr jp hk tw us eu au ca in me cc tv ly gl to app dev top xyz shop store info biz site link vip club"
)
_NAME: Final = rf"(?:[A-Za-z0-9][A-Za-z0-9-]{{0,62}}\.){{1,5}}{_ENDS}(?![A-Za-z0-9-])"
_BEFORE: Final = r"(?<![A-Za-z0-9@_.-])(?<![A-Za-z0-9]/)"
_URL: Final = re.compile(
    rf"(?-i:(?=[A-Za-z0-9]))(?:(?<![A-Za-z0-9])(?:[a-z][a-z0-9+.-]{{1,15}}://(?:(?:[{_HAN}A-Za-z0-9-]{{1,63}}\.){{1,5}}(?:{_HAN_ENDS}))?{_REST}|www\.{_REST})"
    rf"|{_BEFORE}{_NAME}(?::\d{{1,5}})?[/?#]{_REST})",
    re.IGNORECASE,
)
_BARE_ENDS: Final = "com net org cn hk tw uk edu gov info biz shop store top xyz site online club vip tv cc"
_BARE: Final = re.compile(
    rf"{_BEFORE}(?!(?:asp|vb|paint)\.net)(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,4}}{either(_BARE_ENDS)}(?![A-Za-z0-9-]|\.[A-Za-z0-9])"
)
"""In small letters: Booking.com is a company's name. Not all ends of domains: a blank is often forgotten behind a full stop."""
_CUED: Final = re.compile(
    rf"(?:网址|网站|链接|主页|博客|网页|\b(?:web ?site|site|link|url|visit|blog|homepage)\b) ?(?:是|为|叫|is|at)? ?:? ?({_NAME})",
    re.IGNORECASE,
)
_HINT: Final = re.compile(r"\.(?:(?<=[A-Za-z0-9]\.)[A-Za-z0-9]|公司|中)")
_URL_HINTS: Final = ("/", "www.", "?", "#")
_BARE_HINTS: Final = tuple(f".{end}" for end in _BARE_ENDS.split())
_CUED_HINTS: Final = ("网", "链接", "主页", "博客", "site", "link", "url", "visit", "blog", "homepage")
_SHORTEST: Final = len("www.x")
_TRAILING: Final = ".,;:!?'*~|\\"


def urls(text: str) -> Iterator[Found]:
    """Web addresses with a scheme, with www. or with a path, and bare domains."""
    if "://" not in text and not _HINT.search(text):
        return
    small = text.lower()
    if holds_one(small, _URL_HINTS):
        for match in _URL.finditer(text):
            end = match.start() + len(_trimmed(match[0]))
            if end - match.start() > _SHORTEST:
                yield match.start(), end
    if holds_one(text, _BARE_HINTS):
        for match in _BARE.finditer(text):
            yield match.span()
    if holds_one(small, _CUED_HINTS):
        for match in _CUED.finditer(text):
            yield match.span(1)


def _trimmed(url: str) -> str:
    """`url` without the punctuation of the sentence around it."""
    url = url.rstrip(_TRAILING)
    return url if any(bracket in url for bracket in "([{") else url.rstrip(_TRAILING + ")]}")
