"""An SVG of matplotlib as a part of a page: no style attributes, no fonts of its own, colours that the page chooses, ids that meet no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_XLINK = "{http://www.w3.org/1999/xlink}href"
_DROPPED = frozenset({"metadata", "style", "title"})
_NOT_KEPT = frozenset({"font", "font-family"})
_REFERENCE = re.compile(r"#([\w-]+)")
_DIGITS = re.compile(r"(\.\d\d)\d+")  # a hundredth of a pixel is enough
_FONT_SIZE = re.compile(r"([\d.]+px)")


def inline(svg: bytes, *, name: str, label: str, colours: Mapping[str, str]) -> str:
    """Make a plot fit to stand in a page whose rules allow no style attributes.

    Args:
        svg: What matplotlib wrote, with text as text.
        name: Begins every id; unique on the page.
        label: What is said in place of the picture.
        colours: By the name of the CSS variable that replaces each, such as {"ink": "#1b2330"}.

    Returns:
        An `svg` element, as HTML takes it.
    """
    root = ET.fromstring(svg)  # noqa: S314 - from our own drawing, whose names are escaped
    variables = {colour: f"var(--{variable})" for variable, colour in colours.items()}
    wanted = set(_REFERENCE.findall(" ".join(value for element in root.iter() for value in _references(element))))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for child in [child for child in element if child.tag.rpartition("}")[2] in _DROPPED]:
            element.remove(child)
        element.attrib.update(_as_attributes(element.attrib.pop("style", "")))
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            if key != "id" or value in wanted:
                element.attrib["href" if key == _XLINK else key] = _renamed(key, variables.get(value, value), name)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    _without_empty(root)
    return ET.tostring(root, encoding="unicode")


def _references(element: ET.Element) -> list[str]:
    return [value for key, value in element.attrib.items() if key == _XLINK or "url(#" in value]


def _as_attributes(style: str) -> dict[str, str]:
    """What a style says, as attributes: a page may forbid styles, and these it takes."""
    pairs = (part.partition(":") for part in style.split(";") if ":" in part)
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if "font" in found and (size := _FONT_SIZE.search(found["font"])):  # older matplotlib writes it all in one
        found.setdefault("font-size", size[1])
        if "bold" in found["font"] or "700" in found["font"]:
            found.setdefault("font-weight", "bold")
    return {key: value for key, value in found.items() if key not in _NOT_KEPT}


def _renamed(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == _XLINK or "url(#" in value:
        return _REFERENCE.sub(rf"#{name}-\1", value)
    return _DIGITS.sub(r"\1", " ".join(value.split())) if key in ("d", "x", "y", "transform") else value


def _without_empty(element: ET.Element) -> None:
    """Groups with nothing in them say nothing."""
    for child in list(element):
        _without_empty(child)
        if child.tag in ("g", "defs") and not len(child):
            element.remove(child)
    element.tail = None
    if element.tag not in {"text", "tspan"}:
        element.text = None
