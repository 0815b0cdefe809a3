"""Strict YAML: safe tags only, no duplicate keys, and the line of every value, so that an error can name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from llmtriage.errors import InputError, short

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Loc = tuple[str | int, ...]


class YamlFile:
    """The data of a YAML file and where each value stands."""

    def __init__(self, path: Path) -> None:
        """Read `path`. Raises InputError naming file, line and remedy."""
        self.path = path
        self.lines: dict[Loc, int] = {}
        self._ids: dict[str, int] = {}
        node = self._compose(_read(path))
        if node is None:
            raise InputError("the file is empty", file=path, remedy="see the sample: llmtriage taxonomy show --yaml")
        try:
            self._index(node, ())
            self.data: Any = yaml.constructor.SafeConstructor().construct_document(node)
        except yaml.MarkedYAMLError as error:
            raise self._error(error) from None
        except (ValueError, KeyError, AttributeError, OverflowError):
            raise InputError("a date or number that does not exist", file=path, remedy="put it in quotes") from None
        except RecursionError:
            raise self._too_deep() from None

    def line(self, loc: Iterable[str | int]) -> int:
        """Line (from 1) of the value at `loc`, or of the nearest value around it."""
        path = tuple(loc)
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def ids(self) -> dict[str, int]:
        """The line of each value that stands under a key `id`."""
        return self._ids

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    line = event.start_mark.line + 1 if event.start_mark else None
                    raise InputError("aliases (*name) are not allowed", file=self.path, line=line, remedy="write it out")
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except RecursionError:
            raise self._too_deep() from None
        except yaml.MarkedYAMLError as error:
            raise self._error(error) from None
        except yaml.YAMLError as error:
            raise InputError(f"not YAML ({short(str(error))})", file=self.path, remedy="remove control characters") from None

    def _index(self, node: yaml.Node, loc: Loc) -> None:
        self.lines[loc] = node.start_mark.line + 1
        if loc[-1:] == ("id",):
            self._ids[str(node.value)] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self._index(item, (*loc, i))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in seen:
                    raise InputError(
                        "this key stands twice",
                        file=self.path,
                        line=key.start_mark.line + 1,
                        field=short(name),
                        remedy="keep one of the two",
                    )
                seen.add(name)
                self._index(value, (*loc, name))

    def _too_deep(self) -> InputError:
        return InputError("nested too deeply", file=self.path, remedy="a tree of categories has a few levels")

    def _error(self, error: yaml.MarkedYAMLError) -> InputError:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        remedy = "check indentation, colons and quotes on this line"
        if "\\t" in problem:
            remedy = "indent with spaces, not tabs"
        if "could not determine a constructor" in problem:
            remedy = "write plain text, numbers, lists and mappings; tags (!...) are not allowed"
        return InputError(problem, file=self.path, line=mark.line + 1 if mark else None, remedy=remedy)


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", file=path, remedy="check the path") from None
    except IsADirectoryError:
        raise InputError("this is a folder", file=path, remedy="name a YAML file") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="check its permissions") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError("not UTF-8", file=path, line=line, remedy="save the file as UTF-8") from None
