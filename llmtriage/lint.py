"""Is this taxonomy MECE? What its structure can tell: whether categories can be told apart and whether every ticket has a place."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llmtriage.taxonomy import all_languages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llmtriage.taxonomy import Category, LocalText, Taxonomy

Severity = Literal["error", "warning"]

_NEAR = 0.85  # cosine of character n-grams from which two descriptions are hard to tell apart


@dataclass(frozen=True, slots=True)
class LintRule:
    """What is looked for, why it matters, and what to do."""

    severity: Severity
    reason: str
    remedy: str


RULES: dict[str, LintRule] = {
    "T001": LintRule(
        "error", "ids that differ only in case, spaces or punctuation are mixed up by people and models", "rename one"
    ),
    "T002": LintRule("error", "two categories with the same name cannot be told apart by a reader", "rename one"),
    "T003": LintRule("error", "two categories with the same description are not mutually exclusive", "say what separates them"),
    "T004": LintRule("error", "one example under two categories teaches a contradiction", "keep it where the precedence puts it"),
    "T005": LintRule(
        "error", "one case included in two categories is not mutually exclusive", "keep one, add it to the other's excludes"
    ),
    "T006": LintRule("error", "a case that a category both includes and excludes is undecided", "remove one of the two"),
    "T101": LintRule("warning", "without a description a model has only the name to go by", "add one sentence"),
    "T102": LintRule("warning", "descriptions that read alike are confused", "say what separates them, or write a precedence"),
    "T103": LintRule(
        "warning",
        "without a catch-all a ticket that fits nowhere is forced into a category",
        "mark one leaf with catch_all: true",
    ),
    "T104": LintRule("warning", "a node with one child adds a level and no choice", "merge the two"),
    "T105": LintRule("warning", "a ticket accepted here goes to nobody, though other categories have teams", "add team: NAME"),
    "T106": LintRule(
        "warning",
        "a former id that differs from another category's only in case, spaces or punctuation is mixed up by people",
        "make sure that was means it",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at: a rule and the categories it is about."""

    code: str
    categories: tuple[str, ...]
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """Errors make `taxonomy lint` fail; warnings do not."""
        return RULES[self.code].severity

    def __str__(self) -> str:
        """One line: code, what, why, what to do."""
        rule = RULES[self.code]
        about = ", ".join(self.categories)
        what = ": ".join(part for part in (about, self.detail) if part)
        return f"{self.code} {rule.severity}: {what + ': ' if what else ''}{rule.reason}; {rule.remedy}"


def lint(taxonomy: Taxonomy) -> list[Finding]:
    """Every finding, errors first, in the order of the taxonomy."""
    checks = (_ids, _former_ids, _names, _descriptions, _examples, _includes, _contradictions, _catch_all, _shape)
    findings = [finding for check in checks for finding in check(taxonomy)]
    return sorted(findings, key=lambda finding: finding.code)


def _ids(taxonomy: Taxonomy) -> Iterator[Finding]:
    yield from _shared("T001", ((_bare(node.id), node) for node in taxonomy.nodes))


def _former_ids(taxonomy: Taxonomy) -> Iterator[Finding]:
    living = {_bare(node.id): node.id for node in taxonomy.nodes}
    for former, heirs in taxonomy.heirs.items():
        like = living.get(_bare(former))
        if like is not None and like not in (former, *heirs):
            yield Finding("T106", (like, *heirs), repr(former))


def _bare(category_id: str) -> str:
    """An id without case, spaces and punctuation."""
    return re.sub(r"[\W_]", "", _folded(category_id)) or category_id


def _names(taxonomy: Taxonomy) -> Iterator[Finding]:
    named = [node for node in taxonomy.leaves if node.name]
    yield from _shared("T002", ((_folded(name), node) for node in named for name in set(all_languages(node.name or ""))))


def _descriptions(taxonomy: Taxonomy) -> Iterator[Finding]:
    described = [(text, node) for node in taxonomy.leaves for text in all_languages(node.description or "") if text]
    yield from _shared("T003", ((_folded(text), node) for text, node in described))
    yield from _near_identical(described)
    for node in taxonomy.leaves:
        if not node.description:
            yield Finding("T101", (node.id,))


def _examples(taxonomy: Taxonomy) -> Iterator[Finding]:
    yield from _shared("T004", ((_folded(text), node) for node in taxonomy.nodes for text in set(node.examples)))


def _includes(taxonomy: Taxonomy) -> Iterator[Finding]:
    yield from _shared("T005", ((text, node) for node in taxonomy.nodes for text in _folded_all(node.includes)))


def _contradictions(taxonomy: Taxonomy) -> Iterator[Finding]:
    for node in taxonomy.nodes:
        for text in sorted(_folded_all(node.includes) & _folded_all(node.excludes)):
            yield Finding("T006", (node.id,), text)


def _catch_all(taxonomy: Taxonomy) -> Iterator[Finding]:
    if taxonomy.catch_all is None:
        yield Finding("T103", ())


def _shape(taxonomy: Taxonomy) -> Iterator[Finding]:
    for node in taxonomy.nodes:
        if len(node.children) == 1:
            yield Finding("T104", (node.id,))
    if any(node.team for node in taxonomy.nodes):
        for leaf in taxonomy.leaves:
            if not leaf.catch_all and not taxonomy.team(leaf.id):
                yield Finding("T105", (leaf.id,))


def _shared(code: str, texts: Iterable[tuple[str, Category]]) -> Iterator[Finding]:
    """A finding for each text that stands under two categories or more."""
    holders: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for text, node in texts:
        holders[text][node.id] = None
    for text, ids in holders.items():
        if len(ids) > 1:
            yield Finding(code, tuple(ids), repr(text))


def _near_identical(described: list[tuple[str, Category]]) -> Iterator[Finding]:
    if len(described) < 2:
        return
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(_folded(text) for text, _ in described)
    alike = (vectors @ vectors.T).tocoo()
    pairs: dict[tuple[str, str], float] = {}
    for i, j, similarity in zip(alike.row, alike.col, alike.data, strict=True):
        one, other = described[i], described[j]
        if i < j and similarity >= _NEAR and one[1].id != other[1].id and _folded(one[0]) != _folded(other[0]):
            pairs[one[1].id, other[1].id] = similarity
    for (one_id, other_id), similarity in sorted(pairs.items()):
        yield Finding("T102", (one_id, other_id), f"{similarity:.0%} alike")


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _folded_all(texts: Iterable[LocalText]) -> set[str]:
    return {_folded(wording) for text in texts for wording in all_languages(text)}
