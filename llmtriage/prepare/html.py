"""HTML to text. Written for mails: malformed, nested, escaped twice, with text that no reader sees."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BLOCKS: Final = _words(
    "address article aside blockquote body center dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr html legend li main menu nav ol option p pre section summary table tbody tfoot thead tr ul"
)
_PARAGRAPHS: Final = _words("p h1 h2 h3 h4 h5 h6 ul ol table pre blockquote")
_VOID: Final = _words("area base br col embed hr img input link meta param source track wbr")
_RAW: Final = _words("head noembed noframes script style template title")
"""Their content is no text."""
_INLINE: Final = _words(
    "a abbr acronym audio b bdi bdo big button canvas caption cite code colgroup data datalist del details dfn dialog em font "
    "frame frameset i iframe ins kbd label map mark meter noscript object optgroup output picture progress q rp rt ruby s samp "
    "select small span strike strong sub sup svg td textarea th time tt u var video"
)
_OFFICE: Final = frozenset(("o", "v", "w", "m", "x", "st1"))
"""Namespaces that Outlook puts before its own tags."""
_NAMES: Final = _BLOCKS | _VOID | _RAW | _INLINE
_ALONE: Final = (
    "b|big|blockquote|body|br|center|code|div|em|font|h[1-6]|head|hr|html|i|li|ol|p|pre|script|small|span|strike|strong|style|sub|sup"
    "|table|tbody|td|th|thead|tr|u|ul"
)
_SOME_TAG: Final = re.compile(
    rf"<(?=[/!a-z])(?:(?:{_ALONE})\s*/?>|/(?:{'|'.join(sorted(_NAMES))})\s*>|(?:{'|'.join(sorted(_NAMES))})\s[^<>=]*=[^<>]*>"
    r"|/?[ovwm]:\w+\s*/?>|!--|!doctype\s[^<>]*>)",
    re.IGNORECASE,
)
_ENTITY: Final = re.compile(
    r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|nbsp|amp|lt|gt|quot|apos|[lr][sda]quo|[bs]dquo|hellip|[mn]dash|e[mn]sp|thinsp|zwn?j|shy|euro"
    r"|pound|yen|cent|copy|reg|trade|deg|middot|bull|times|sect|szlig|[a-z](?:uml|acute|grave|circ|tilde|cedil|slash|ring));",
    re.IGNORECASE,
)
_LONG_NUMBER: Final = re.compile(r"&#(?:\d{8,}|[xX][0-9a-fA-F]{8,});?")
_TOKEN: Final = re.compile(
    r"<!--|<!\[[^<>]*>|<[!?][a-zA-Z][^<>]*>"
    r"|<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*+(?::\w++)?)"
    r"(?P<attributes>(?=[\s/>])(?:(?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+>|[^<>]*+>))"
)
_LAID_OUT: Final = re.compile(r"<(?:p|div|br|table|td|html|body|li|blockquote)\b", re.IGNORECASE)
"""Where markup makes the lines, the line ends of the source are mere white space."""
_ENDS: Final = {
    name: re.compile(rf"</{name}\s*>" + ("|(?=<body[\\s>])" if name == "head" else ""), re.IGNORECASE) for name in _RAW
}
_COMMENT_END: Final = re.compile("--!?>")
_STYLE: Final = re.compile(r"""\bstyle\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_GONE: Final = re.compile(
    r"\bdisplay\s*:\s*none|\bmso-hide\s*:\s*all|(?<![\w-])opacity\s*:\s*(?:0+(?:\.0*)?|\.0+)\s*(?:[;!%]|$)"
    r"|\bmax-height\s*:\s*0+(?![\d.])",
    re.IGNORECASE,
)
_SHOWN: Final = re.compile(
    r"\bfont-size\s*:\s*(?P<number>\d*\.?\d+)\s*(?P<unit>[a-z%]*)|\bvisibility\s*:\s*(?P<visibility>\w+)", re.IGNORECASE
)
_RELATIVE: Final = frozenset(("em", "%", "ex", "ch"))
_SMALLEST: Final = 2
"""Pixels or points; smaller text is there to be overlooked."""
_QUOTED_VALUE: Final = re.compile(r""""[^"]*"|'[^']*'""")
_HIDDEN: Final = re.compile(r"""\shidden(?=[\s/>=])""", re.IGNORECASE)
_ROUNDS: Final = 3
"""How often text is unescaped: HTML inside HTML is common, deeper nesting is an attack."""


def html_text(text: str) -> str:
    """`text` without markup, if it has any: as lines, without comments, scripts and whatever is hidden from a reader."""
    for _ in range(_ROUNDS):
        if "<" in text and _SOME_TAG.search(text):
            text = _Reader().read(text)
        elif "&" in text and _ENTITY.search(text):
            text = _ENTITY.sub(_unescaped, text)
        else:
            return text
    if _SOME_TAG.search(text) or _ENTITY.search(text):
        return text.replace("<", " ").replace("&", " ")
    return text


def _unescaped(match: re.Match[str]) -> str:
    for entity in (match[0], match[0].lower()):
        text = html.unescape(entity)
        if text != entity:
            return text
    return match[0][1:]


@dataclass(frozen=True, slots=True)
class _Element:
    """An open element: whether it and all below it is gone, and whether its text is unseen until one below it shows itself."""

    name: str
    gone: bool
    unseen: bool


@dataclass(slots=True)
class _Reader:
    """Reads one text: every token once, from left to right."""

    out: list[str] = field(default_factory=list)
    newlines: int = 2
    path: list[_Element] = field(default_factory=list)
    depth: Counter[str] = field(default_factory=Counter)
    unclosed: set[str] = field(default_factory=set)

    def read(self, text: str) -> str:
        keeps_lines = not _LAID_OUT.search(text)
        position = 0
        while token := _TOKEN.search(text, position):
            name = (token["name"] or "").lower()
            known = not name or name in _NAMES or name.partition(":")[0] in _OFFICE
            if not known:
                self._say(text[position : token.end()], keeps_lines=keeps_lines)
                position = token.end()
                continue
            self._say(text[position : token.start()], keeps_lines=keeps_lines)
            position = self._skip(text, token, name) if name in _RAW or token[0] == "<!--" else token.end()
            if name and name not in _RAW:
                self._tag(token, name)
        self._say(text[position:], keeps_lines=keeps_lines)
        return "".join(self.out)

    def _skip(self, text: str, token: re.Match[str], name: str) -> int:
        """Where to go on behind an element whose content is no text; behind its tag alone if it never ends."""
        end = _ENDS[name] if name else _COMMENT_END
        if token["close"] or name in self.unclosed:
            return token.end()
        found = end.search(text, token.end())
        if found is None:
            self.unclosed.add(name)
            return token.end()
        return found.end()

    def _tag(self, token: re.Match[str], name: str) -> None:
        if name == "br":
            self._end_line()
        elif name in ("td", "th") and not token["close"]:
            self._say("\t", keeps_lines=True)
        elif name in _BLOCKS:
            self._leave_line(empty_lines=name in _PARAGRAPHS)
        if token["close"]:
            self._close(name)
        elif name not in _VOID and not token["attributes"].endswith("/>"):
            self._open(name, token["attributes"])

    def _open(self, name: str, attributes: str) -> None:
        if name in _BLOCKS and self.path and self.path[-1].name == "p":
            self._close("p")
        parent = self.path[-1] if self.path else _Element("", gone=False, unseen=False)
        self.path.append(_child(name, attributes, parent))
        self.depth[name] += 1

    def _close(self, name: str) -> None:
        if not self.depth[name]:
            return
        while True:
            element = self.path.pop()
            self.depth[element.name] -= 1
            if element.name == name:
                return

    def _say(self, text: str, *, keeps_lines: bool) -> None:
        if not text or (self.path and (self.path[-1].gone or self.path[-1].unseen)):
            return
        said = html.unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text
        if not (keeps_lines or self.depth["pre"]):
            said = said.replace("\r", " ").replace("\n", " ")
        if said.strip():
            if self.newlines and self.depth["blockquote"]:
                said = f"> {said.lstrip()}"
            self.newlines = 0
        self.out.append(said)

    def _end_line(self) -> None:
        self.newlines += 1
        self.out.append("\n")

    def _leave_line(self, empty_lines: int) -> None:
        """End the line if anything stands on it, and leave as many empty lines before the next."""
        wanted = max(0, 1 + empty_lines - self.newlines)
        self.newlines += wanted
        self.out.append("\n" * wanted)


def _child(name: str, attributes: str, parent: _Element) -> _Element:
    if "style" not in attributes.lower() and "hidden" not in attributes.lower():
        return _Element(name, parent.gone, parent.unseen)
    style = ";".join("".join(part) for part in _STYLE.findall(attributes))
    css = _without_comments(html.unescape(_LONG_NUMBER.sub("", style)))
    unseen = parent.unseen
    for shown in _SHOWN.finditer(css):
        unseen = _unseen(shown, before=unseen)
    gone = _GONE.search(css) or _HIDDEN.search(_QUOTED_VALUE.sub("", attributes))
    return _Element(name, parent.gone or bool(gone), unseen)


def _unseen(shown: re.Match[str], *, before: bool) -> bool:
    if shown["visibility"]:
        return shown["visibility"].lower() in ("hidden", "collapse") or (before and shown["visibility"].lower() != "visible")
    size, unit = float(shown["number"]), shown["unit"].lower()
    if unit in _RELATIVE:
        return before or not size
    return not size or (unit in ("px", "pt") and size <= _SMALLEST)


def _without_comments(css: str) -> str:
    first, *rest = css.split("/*")
    return first + "".join(part.partition("*/")[2] for part in rest)
