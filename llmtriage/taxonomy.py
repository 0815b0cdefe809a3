"""The MECE tree of categories: what tickets are sorted into. Read from YAML, or made from the labels of a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from llmtriage.errors import InputError, UnknownNameError, nearest, short
from llmtriage.resources import shipped
from llmtriage.yaml_file import YamlFile

Line = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
LocalText = Line | dict[str, Line]
"""One text for all languages, or one per language code: `"Refund"` or `{"en": "Refund", "zh": "退款"}`."""


def in_language(text: LocalText, language: str) -> str:
    """`text` in `language`, else in English, else in the first language it has."""
    if isinstance(text, str):
        return text
    return text.get(language) or text.get("en") or next(iter(text.values()), "")


def all_languages(text: LocalText) -> tuple[str, ...]:
    """Every wording of `text`."""
    return (text,) if isinstance(text, str) else tuple(text.values())


def _printable_id(value: str) -> str:
    if not value.strip() or value != value.strip() or not all(c.isprintable() for c in value):
        message = "an id is visible text on one line without spaces around it"
        raise ValueError(message)
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Id = Annotated[str, StringConstraints(strict=True, max_length=200), AfterValidator(_printable_id)]
Ids = Annotated[tuple[Id, ...], BeforeValidator(_as_list)]
Names = Annotated[tuple[Line, ...], BeforeValidator(_as_list)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Category(_Strict):
    """A node of the tree. A node without children is a leaf: something a model chooses.

    Attributes:
        id: Unique in the whole tree; what outcomes and labelled files name.
        was: Ids that this category had in former versions, or whose tickets it took over: their labels are carried here.
        name: What people read; the id where there is none.
        description: One sentence that says what belongs here.
        includes: Cases that belong here though one might doubt it.
        excludes: Cases that belong elsewhere, and where.
        examples: A few texts of customers.
        team: Who gets the ticket; inherited from the parent.
        max_error: The largest error rate allowed among accepted tickets of this category, between 0 and 1; inherited from the parent.
        always_review: A person decides, however sure the model is; inherited from the parent.
        catch_all: The one leaf that means "none of these".
        children: Sub-categories.
    """

    id: Id
    was: Ids = ()
    name: LocalText | None = None
    description: LocalText | None = None
    includes: tuple[LocalText, ...] = ()
    excludes: tuple[LocalText, ...] = ()
    examples: tuple[Line, ...] = ()
    team: Line | None = None
    max_error: Annotated[float, Field(gt=0, lt=1)] | None = None
    always_review: bool = False
    catch_all: bool = False
    children: tuple[Category, ...] = ()

    def label(self, language: str = "en") -> str:
        """The name in `language`, else the id."""
        return in_language(self.name, language) if self.name else self.id

    def walk(self) -> Iterator[Category]:
        """This node and all below it, in file order."""
        yield self
        for child in self.children:
            yield from child.walk()


class Condition(_Strict):
    """When a rule applies: all that is given must hold; of a list, one is enough.

    Attributes:
        category: The predicted category or any node above it.
        keywords: Words in the ticket; Latin words match as whole words, case never counts.
        metadata: Values of ticket fields (`channel`, `language`, `customer` or any metadata column).
    """

    category: Names = ()
    keywords: Names = ()
    metadata: dict[str, Names] = {}

    @model_validator(mode="after")
    def _not_empty(self) -> Condition:
        if not (self.category or self.keywords or self.metadata):
            message = "a condition names a category, keywords or metadata"
            raise ValueError(message)
        return self


class Rule(_Strict):
    """What happens to tickets that meet a condition: a person decides, or another team gets them."""

    name: Line
    when: Condition
    always_review: bool = False
    team: Line | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Rule:
        if self.always_review == bool(self.team):
            message = "a rule says either always_review: true or team: NAME"
            raise ValueError(message)
        return self


class Taxonomy(_Strict):
    """The tree, the written precedence between neighbours, and the rules of routing."""

    version: Literal[1] = 1
    name: LocalText | None = None
    precedence: tuple[LocalText, ...] = ()
    rules: tuple[Rule, ...] = ()
    categories: Annotated[tuple[Category, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Taxonomy:
        seen: set[str] = set()
        for node in self.nodes:
            if node.id in seen:
                message = f"the id {node.id!r} stands twice"
                raise ValueError(message)
            seen.add(node.id)
        marked = [n for n in self.nodes if n.catch_all]
        if len(marked) > 1 or any(n.children for n in marked):
            message = f"catch_all stands at {', '.join(repr(n.id) for n in marked)}; it may mark one leaf"
            raise ValueError(message)
        for name in (c for rule in self.rules for c in rule.when.category):
            if name not in seen:
                message = f"a rule names the unknown category {name!r}"
                raise ValueError(message)
        self._check_former()
        return self

    def _check_former(self) -> None:
        """One label must not mean two categories: a leaf that is still there keeps its labels."""
        for former, heirs in self.heirs.items():
            if former in heirs:
                message = f"{former!r} says was: [{former}], its own id"
                raise ValueError(message)
            if former in self and not self[former].children:
                message = f"{heirs[-1]!r} says was: [{former}], which is still a category"
                raise ValueError(message)

    # -- the tree ------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> tuple[Category, ...]:
        """Every node, in file order, parents before children."""
        return tuple(node for top in self.categories for node in top.walk())

    @cached_property
    def leaves(self) -> tuple[Category, ...]:
        """What a model chooses among, in file order."""
        return tuple(node for node in self.nodes if not node.children)

    @cached_property
    def catch_all(self) -> Category | None:
        """The leaf that means "none of these", if there is one."""
        return next((leaf for leaf in self.leaves if leaf.catch_all), None)

    @cached_property
    def _by_id(self) -> Mapping[str, Category]:
        return {node.id: node for node in self.nodes}

    @cached_property
    def _parents(self) -> Mapping[str, str]:
        return {child.id: node.id for node in self.nodes for child in node.children}

    def __contains__(self, category_id: object) -> bool:
        """Whether a node has this id."""
        return category_id in self._by_id

    def __getitem__(self, category_id: str) -> Category:
        """The node with this id; raises UnknownNameError."""
        if category_id not in self._by_id:
            raise UnknownNameError.among("category", category_id, self._by_id)
        return self._by_id[category_id]

    def path(self, category_id: str) -> tuple[Category, ...]:
        """The nodes from the top down to this one."""
        ids = [self[category_id].id]
        while ids[-1] in self._parents:
            ids.append(self._parents[ids[-1]])
        return tuple(self._by_id[i] for i in reversed(ids))

    def team(self, category_id: str) -> str | None:
        """The team of this node or of the nearest node above it that has one."""
        return next((node.team for node in reversed(self.path(category_id)) if node.team), None)

    def always_review(self, category_id: str) -> bool:
        """Whether this node or a node above it always needs a person."""
        return any(node.always_review for node in self.path(category_id))

    def max_error(self, category_id: str) -> float | None:
        """The largest error rate allowed where this node is the answer: its own or its parents', or that of a stricter node below."""
        path = self.path(category_id)
        above = next((node.max_error for node in reversed(path) if node.max_error is not None), None)
        below = [node.max_error for child in path[-1].children for node in child.walk() if node.max_error is not None]
        return min([*below, *([] if above is None else [above])], default=None)

    # -- former ids ----------------------------------------------------------------------------

    @cached_property
    def heirs(self) -> Mapping[str, tuple[str, ...]]:
        """Each former id with the nodes whose `was` names it, in file order."""
        found: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            found |= {former: (*found.get(former, ()), node.id) for former in node.was}
        return found

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """Every label that can be read, with the leaf it means: the leaves, then the former ids with one leaf as their only heir."""
        leaves = {leaf.id: leaf.id for leaf in self.leaves}
        return leaves | {former: heirs[0] for former, heirs in self.heirs.items() if len(heirs) == 1 and heirs[0] in leaves}

    def carried(self, category_id: str) -> str | None:
        """The leaf that a stored label means now; None where a person has to say: see `candidates`."""
        return self.labels.get(category_id)

    def candidates(self, category_id: str) -> tuple[str, ...]:
        """The leaves that a stored label may mean now: those of its heirs, else those below it; none where it is unknown."""
        tops = self.heirs.get(category_id) or ((category_id,) if category_id in self else ())
        return tuple(dict.fromkeys(node.id for top in tops for node in self[top].walk() if not node.children))

    def leaf(self, label: str, *, file: str | Path | None = None, line: int | None = None, field: str | None = None) -> str:
        """The id of the leaf that a label means.

        Args:
            label: The id of a leaf, or a former one that is carried.
            file: Where it was written, for the error.
            line: The line in that file.
            field: The argument it was given to.

        Raises:
            InputError: It means several leaves: a person has to say which.
            UnknownNameError: It is no category.
        """
        carried = self.carried(label)
        if carried is not None:
            return carried
        candidates = ", ".join(self.candidates(label))
        if not candidates:
            meant = [repr(leaf.id) for leaf in self.leaves if leaf.name and label in all_languages(leaf.name)]
            remedy = f"did you mean {' or '.join(meant)}?" if meant else nearest(label, [leaf.id for leaf in self.leaves])
            raise UnknownNameError(f"unknown category {short(label)!r}", remedy=remedy, file=file, line=line, field=field)
        problem = f"the category {short(label)!r} {'has sub-categories' if label in self else 'was split'}"
        raise InputError(problem, file=file, line=line, field=field, remedy=f"name one of them: {short(candidates, 200)}")

    # -- identity ------------------------------------------------------------------------------

    @cached_property
    def hash(self) -> str:
        """Identity of what is chosen among and how it is described.

        Teams and rules are not in it: they belong to the policy. Nor is `was`: no model reads it, and no outcome depends on it.
        """
        fields = ("id", "name", "description", "includes", "excludes", "examples", "catch_all")
        tree = [_only(top.model_dump(mode="json"), fields) for top in self.categories]
        head = self.model_dump(mode="json", include={"name", "precedence"})
        return digest({**head, "categories": tree})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002 - pydantic's
        """A checked copy with other fields; what is derived from them is derived anew."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **(update or {})})

    # -- in and out ----------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path) -> Taxonomy:
        """Read a YAML file. Raises InputError naming file, line, field and remedy."""
        source = YamlFile(Path(path))
        if not isinstance(source.data, Mapping):
            raise InputError("a taxonomy is a mapping", file=source.path, line=source.line(()), remedy="begin with 'categories:'")
        try:
            return cls.model_validate(source.data)
        except ValidationError as error:
            raise _located(error, source) from None

    @classmethod
    def nearby(cls) -> Taxonomy | None:
        """`./taxonomy.yaml`, which is meant where no taxonomy is named; None where there is no such file."""
        local = Path("taxonomy.yaml")
        return cls.load(local) if local.exists() else None

    @classmethod
    def sample(cls) -> Taxonomy:
        """The sample that ships with the package: customer service in Chinese and English."""
        return cls.load(shipped("taxonomy.yaml"))

    @classmethod
    def from_labels(cls, labels: Iterable[str], *, none_label: str | None = None) -> Taxonomy:
        """A flat taxonomy of the distinct `labels`, verbatim, in order of first appearance.

        Raises:
            InputError: A label cannot be an id, there is none, or `none_label` is not among them.
        """
        distinct = list(dict.fromkeys(labels))
        if none_label is not None and none_label not in distinct:
            raise UnknownNameError.among("label", none_label, distinct, field="none label")
        try:
            return cls(categories=tuple(Category(id=label, catch_all=label == none_label) for label in distinct))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(_message(first), remedy="mend the labels in the file") from None

    def to_yaml(self) -> str:
        """This taxonomy as YAML that `load` reads back as an equal one."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump({"version": self.version, **data}, allow_unicode=True, sort_keys=False, width=120)


def digest(value: object) -> str:
    """Short stable identity of plain data: the first 16 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _only(node: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {f: node[f] for f in fields} | {"children": [_only(child, fields) for child in node["children"]]}


_REMEDIES = {
    "missing": "add it",
    "string_type": "put it in quotes",
    "bool_type": "write true or false",
    "tuple_type": "write one '- item' a line",
    "too_short": "name at least one",
    "value_error": "see docs/taxonomy.md",
    "dict_type": "write 'key: value' lines",
}
_MENDED_BY = {
    "stands twice": "rename one",
    "its own id": "leave it out: an id that stays keeps its labels",
    "which is still a category": "give that one a new id too, or leave it out of was",
}


def _located(error: ValidationError, source: YamlFile) -> InputError:
    """The first of pydantic's errors as one line with its place in the file."""
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    loc = [part for part in first["loc"] if _is_place(part)]
    field = ".".join(str(part) for part in loc) or None
    remedy = _REMEDIES.get(first["type"], "see docs/taxonomy.md")
    if first["type"] == "extra_forbidden":
        remedy = nearest(str(loc[-1]), (Taxonomy if len(loc) == 1 else Category).model_fields)
    remedy = next((mend for words, mend in _MENDED_BY.items() if words in first["msg"]), remedy)
    line = _doubtful(first, source) or source.line(loc)
    return InputError(_message(first), file=source.path, line=line, field=field, remedy=remedy)


def _is_place(part: str | int) -> bool:
    """Pydantic puts the names of union members into a location; they are no place in the file."""
    return isinstance(part, int) or not part.startswith(("constrained-str", "dict[", "function-", "str"))


def _doubtful(first: Any, source: YamlFile) -> int | None:
    """For an error of the whole tree: the line of the last id that its message quotes."""
    if first["loc"]:
        return None
    return max((line for name, line in source.ids().items() if repr(name) in first["msg"]), default=None)


_WORDS = {
    "missing": "this field is missing",
    "extra_forbidden": "unknown key",
    "too_short": "the list is empty",
    "tuple_type": "this should be a list",
    "string_type": "this should be text",
}


def _message(first: Any) -> str:
    message = str(first["msg"]).removeprefix("Value error, ")
    return short(_WORDS.get(first["type"], message), 160)
