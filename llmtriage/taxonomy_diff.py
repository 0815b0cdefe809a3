"""What became of each category between two versions of a taxonomy, and of the labels that name them.

Only ids and the `was` of the new version say what became of a category; likeness makes suggestions to a person and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from llmtriage.taxonomy import all_languages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llmtriage.taxonomy import Category, Taxonomy

Kind = Literal[
    "renamed",
    "merged",
    "split",
    "became_group",
    "became_leaf",
    "moved",
    "added",
    "removed",
    "reworded",
    "rerouted",
    "reordered",
]
Reason = Literal["split", "became_group", "removed"]

_ORDER: dict[str, int] = {kind: place for place, kind in enumerate(get_args(Kind))}
_WORDING = ("name", "description", "includes", "excludes", "examples")
_ROUTING = ("team", "max_error", "always_review", "catch_all")
_ALIKE = 0.5  # cosine of character n-grams; two leaves of the sample have at most 0.36, a leaf and a part of it at least 0.56


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between two versions.

    Attributes:
        kind: What happened.
        old: Ids in the old version; none for what was added and for what is about the taxonomy as a whole.
        new: Ids in the new version; none for what was removed and for what is about the taxonomy as a whole. Of what became a group: its leaves.
        details: Of what was moved: the ids of its parents before and now, empty at the top. Of what was reworded or rerouted: the fields.
    """

    kind: Kind
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A label that cannot be carried: why, and the leaves that a person may choose among."""

    reason: Reason
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A suggestion to a person: `was: [label]` at `heir`.

    Attributes:
        label: A label that is not carried.
        heir: The leaf that may have taken it over.
        likeness: Of the two, between 0 and 1; None where the structure says so.
    """

    label: str
    heir: str
    likeness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What differs, and what becomes of every label that the old version could read.

    Attributes:
        changes: The differences, by kind.
        carried: Each label that is carried, with the leaf of the new version that it means.
        waiting: Each label that is not.
        turned: Each former id of the old version that means another leaf now than its heir there does: that leaf, and what it means now.
        guesses: What a person may want to add to the new version.
        unknown: Former ids that the new version names and the old one never had, with the category that names them.
    """

    changes: tuple[Change, ...]
    carried: Mapping[str, str]
    waiting: Mapping[str, Waiting]
    turned: Mapping[str, tuple[str, str]]
    guesses: tuple[Guess, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()


def diff(old: Taxonomy, new: Taxonomy) -> Changes:
    """What became of `old` in `new`. Every label of `old` is either carried or waiting."""
    lineage = _Lineage(old, new)
    changes = [*_of_new_nodes(lineage), *_of_old_nodes(lineage), *_of_pairs(lineage), *_of_the_whole(lineage)]
    waiting = {label: _waiting(label, new) for label in old.labels if new.carried(label) is None}
    return Changes(
        changes=tuple(sorted(changes, key=lambda change: _ORDER[change.kind])),
        carried={label: heir for label in old.labels if (heir := new.carried(label)) is not None},
        waiting=waiting,
        turned={label: (heir, now) for label, heir in old.labels.items() if (now := _other_heir(label, heir, new)) is not None},
        guesses=tuple(_guesses(lineage, waiting)),
        unknown=tuple((former, heir) for former, heirs in new.heirs.items() if not _had(old, former) for heir in heirs),
    )


def _waiting(label: str, new: Taxonomy) -> Waiting:
    candidates = new.candidates(label)
    several = len(new.heirs.get(label, ())) > 1
    return Waiting(reason="split" if several else "became_group" if candidates else "removed", candidates=candidates)


def _other_heir(label: str, heir: str, new: Taxonomy) -> str | None:
    """What `label` means in the new version, if its old heir is carried to another leaf; an id that was used again does so."""
    now, expected = new.carried(label), new.carried(heir)
    return now if expected not in (None, now) else None


def _had(old: Taxonomy, former: str) -> bool:
    return former in old or former in old.heirs


class _Lineage:
    """Which nodes of the new version go back to which of the old one, by id and by `was`."""

    def __init__(self, old: Taxonomy, new: Taxonomy) -> None:
        self.old, self.new = old, new
        self.sources = {node.id: self._sources_of(node) for node in new.nodes}
        self.heirs: defaultdict[str, list[str]] = defaultdict(list)
        for heir, sources in self.sources.items():
            for source in sources:
                self.heirs[source].append(heir)

    def _sources_of(self, node: Category) -> tuple[str, ...]:
        """The old nodes that went into `node`: itself, and what its `was` names of those that did not stay."""
        former = [name for name in dict.fromkeys(node.was) if name in self.old and not self._stays(name)]
        return tuple([node.id, *former] if self._stays(node.id) else former)

    def _stays(self, node_id: str) -> bool:
        """Whether a leaf stays a leaf, or a group a group."""
        return node_id in self.old and node_id in self.new and not self.changes_kind(node_id, node_id)

    def changes_kind(self, old_id: str, new_id: str) -> bool:
        """Whether one is a leaf and the other is not."""
        return bool(self.old[old_id].children) != bool(self.new[new_id].children)

    def is_renamed(self, old_id: str, new_id: str) -> bool:
        """Whether the new node is the only heir of the old one and has no other source."""
        return old_id != new_id and self.sources[new_id] == (old_id,) and self.heirs[old_id] == [new_id]

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each old node with the new one that is the same node: by its id, else renamed."""
        for node in self.old.nodes:
            if node.id in self.new:
                yield node.id, node.id
                continue
            heir = next(iter(self.heirs[node.id]), node.id)
            if heir not in self.old and self.is_renamed(node.id, heir):
                yield node.id, heir


def _of_new_nodes(lineage: _Lineage) -> Iterator[Change]:
    for node in lineage.new.nodes:
        sources = lineage.sources[node.id]
        stays = node.id in lineage.old
        if not stays and not sources:
            yield Change(kind="added", new=(node.id,))
        if len(sources) > 1:
            yield Change(kind="merged", old=sources, new=(node.id,))
        if len(sources) == 1 and lineage.is_renamed(sources[0], node.id):
            yield Change(kind="renamed", old=sources, new=(node.id,))
        for source in [node.id] if stays else sources:
            if lineage.changes_kind(source, node.id):
                yield _of_kind(source, node)


def _of_kind(source: str, node: Category) -> Change:
    if not node.children:
        return Change(kind="became_leaf", old=(source,), new=(node.id,))
    return Change(kind="became_group", old=(source,), new=tuple(leaf.id for leaf in node.walk() if not leaf.children))


def _of_old_nodes(lineage: _Lineage) -> Iterator[Change]:
    for node in lineage.old.nodes:
        heirs = lineage.heirs[node.id]
        if len(heirs) > 1:
            yield Change(kind="split", old=(node.id,), new=tuple(heirs))
        if not heirs and node.id not in lineage.new:
            yield Change(kind="removed", old=(node.id,))


def _of_pairs(lineage: _Lineage) -> Iterator[Change]:
    """What differs in nodes that are still there."""
    old, new = lineage.old, lineage.new
    pairs = dict(lineage.pairs)
    same, stayed = {"": "", **pairs}, []
    for before, now in pairs.items():
        parents = _parent(old, before), _parent(new, now)
        has_moved = same.get(parents[0]) != parents[1]
        if has_moved:
            yield Change(kind="moved", old=(before,), new=(now,), details=parents)
        else:
            stayed.append(now)
        yield from _fields("reworded", _differing(_values(old[before], _WORDING), _values(new[now], _WORDING)), before, now)
        routing = _inherited if has_moved else _own_routing
        yield from _fields("rerouted", _differing(routing(old, before), routing(new, now)), before, now)
    places = {node.id: place for place, node in enumerate(new.nodes)}
    if stayed != sorted(stayed, key=places.__getitem__):
        yield Change(kind="reordered")


def _of_the_whole(lineage: _Lineage) -> Iterator[Change]:
    old, new = lineage.old, lineage.new
    yield from _fields("reworded", _differing(_values(old, ("name", "precedence")), _values(new, ("name", "precedence"))))
    yield from _fields("rerouted", _differing(_values(old, ("rules",)), _values(new, ("rules",))))


def _parent(tree: Taxonomy, category_id: str) -> str:
    """The id of the node above; empty at the top."""
    return next((node.id for node in tree.path(category_id)[-2:-1]), "")


def _values(node: Category | Taxonomy, fields: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(node, name) for name in fields}


def _own_routing(tree: Taxonomy, category_id: str) -> dict[str, Any]:
    return _values(tree[category_id], _ROUTING)


def _inherited(tree: Taxonomy, category_id: str) -> dict[str, Any]:
    inherited = {name: getattr(tree, name)(category_id) for name in ("team", "max_error", "always_review")}
    return inherited | _values(tree[category_id], ("catch_all",))


def _differing(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in before if before[name] != now[name])


def _fields(kind: Literal["reworded", "rerouted"], fields: tuple[str, ...], *ids: str) -> Iterator[Change]:
    if fields:
        yield Change(kind=kind, old=ids[:1], new=ids[1:], details=fields)


def _guesses(lineage: _Lineage, waiting: Mapping[str, Waiting]) -> Iterator[Guess]:
    """For labels that nobody took over: what the structure says, else the one leaf without a source that reads most like it."""
    old, new = lineage.old, lineage.new
    removed = [label for label, why in waiting.items() if why.reason == "removed"]
    by_structure = {label: heir for label in removed if (heir := _by_structure(label, old, new)) is not None}
    yield from (Guess(label=label, heir=heir, likeness=None) for label, heir in by_structure.items())
    gone = [old[label] for label in removed if label not in by_structure and label in old]
    added = [leaf for leaf in new.leaves if not lineage.sources[leaf.id]]
    if gone and added:
        yield from _by_likeness(gone, added, [*old.leaves, *new.leaves])


def _by_structure(label: str, old: Taxonomy, new: Taxonomy) -> str | None:
    """The leaf that its old heir, or a group above it, is now."""
    heir = old.labels[label]
    above = [node.id for node in reversed(old.path(heir))]
    return next((leaf for name in above if (leaf := new.carried(name)) is not None), None)


def _by_likeness(gone: list[Category], added: list[Category], leaves: list[Category]) -> Iterator[Guess]:
    """Pairs that are the most alike from both sides."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit(map(_text, leaves))
    alike = (vectors.transform(map(_text, gone)) @ vectors.transform(map(_text, added)).T).toarray()
    for place, (node, best) in enumerate(zip(gone, alike.argmax(axis=1), strict=True)):
        likeness = float(alike[place, best])
        if likeness >= _ALIKE and alike[:, best].argmax() == place:
            yield Guess(label=node.id, heir=added[best].id, likeness=min(likeness, 1.0))


def _text(node: Category) -> str:
    """All that is said of a category."""
    texts = [node.name or "", node.description or "", *node.includes]
    return " ".join([node.id, *(wording for text in texts for wording in all_languages(text)), *node.examples])
