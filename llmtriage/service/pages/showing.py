"""A ticket and its choices as the page shows them: plain data. Of a blind entry nothing in it comes from a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmtriage.prepare import prepare
from llmtriage.review_screen.choosing import DIGITS
from llmtriage.review_screen.state import proposed
from llmtriage.taxonomy import in_language

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from llmtriage.prepare import Preparation
    from llmtriage.reviewing import Item, Label
    from llmtriage.taxonomy import Category, Taxonomy
    from llmtriage.tickets import Ticket

_SIMILAR = 240  # characters of a similar ticket
_CHANGING = ("html", "quotes", "signature", "redact")  # steps after which somebody may miss something
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]{0,29}_[0-9]{1,6}\]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, and whether it stands for something that was hidden."""

    text: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A ticket's text.

    Attributes:
        title: What the model saw of the title, in pieces; empty where there is none.
        content: The same of the content.
        steps: What was taken away or changed before, by the names of steps.
        received: Title and content as they were received, where they were more.
    """

    title: tuple[Piece, ...]
    content: tuple[Piece, ...]
    steps: tuple[str, ...]
    received: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A category that can be chosen, or a group of them.

    Attributes:
        id: Of the category.
        name: In the language of the page.
        above: The names of the categories above it.
        key: The digits that choose it, one after another; empty where none do.
        guide: What the taxonomy says of it: description, what belongs to it, what does not.
        children: Those in the group; none for a leaf.
    """

    id: str
    name: str
    above: str
    key: str
    guide: tuple[str, tuple[str, ...], tuple[str, ...]]
    children: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Alike:
    """A similar ticket that a person decided: its category and how it begins."""

    category: str
    text: str


def text_of(ticket: Ticket, preparation: Preparation, *, redacted: bool) -> Text:
    """The text as the model saw it, with what is hidden in it, and as it was received; `redacted`: it was kept with placeholders."""
    prepared = prepare(ticket, preparation)
    known = None if redacted else {prepared.text[one.start : one.end] for one in prepared.hidden}
    title, content = "", prepared.text
    if ticket.title.strip() and "\n\n" in content:
        title, _, content = content.partition("\n\n")
    steps = tuple(step for step in prepared.steps_that_changed_something if step in _CHANGING)
    received = "\n\n".join(part for part in (ticket.title, ticket.content) if part.strip())
    return Text(tuple(_pieces(title, known)), tuple(_pieces(content, known)), steps, received if steps else "")


def offered(taxonomy: Taxonomy, item: Item, language: str) -> tuple[Choice, ...]:
    """What a model thinks of the ticket, in the order of the taxonomy; nothing for a blind entry."""
    leaves = proposed(taxonomy, item)[:DIGITS]
    return tuple(choice(taxonomy, leaf, language, str(place)) for place, leaf in enumerate(leaves, 1))


def tree(taxonomy: Taxonomy, language: str, *, keys: bool) -> tuple[Choice, ...]:
    """All categories in the order of the taxonomy, with digits where nothing else has them."""
    few = len(taxonomy.leaves) <= DIGITS
    return _branches(taxonomy, taxonomy.leaves if few else taxonomy.categories, language, "" if keys else None)


def choice(taxonomy: Taxonomy, node: Category, language: str, key: str = "", children: tuple[Choice, ...] = ()) -> Choice:
    """A category as it is shown."""
    above = " > ".join(one.label(language) for one in taxonomy.path(node.id)[:-1])
    guide = (
        in_language(node.description, language) if node.description else "",
        tuple(in_language(one, language) for one in node.includes),
        tuple(in_language(one, language) for one in node.excludes),
    )
    return Choice(node.id, node.label(language), above, key, guide, children)


def suggested(taxonomy: Taxonomy, item: Item, language: str) -> tuple[str, str | None]:
    """What is suggested in words, and the leaf it means now; nothing where there is no suggestion, or none may be seen."""
    if item.blind or item.suggestion is None:
        return "", None
    leaf = taxonomy.carried(item.suggestion)
    known = leaf or item.suggestion
    return (taxonomy[known].label(language) if known in taxonomy else known), leaf


def alike(taxonomy: Taxonomy, labels: Sequence[Label], language: str) -> tuple[Alike, ...]:
    """Similar tickets as they are shown."""
    return tuple(Alike(named(taxonomy, one.category, language), _beginning(one.ticket)) for one in labels)


def named(taxonomy: Taxonomy, category: str, language: str) -> str:
    """The name of a category that was stored; its id where the taxonomy has it no longer."""
    known = taxonomy.carried(category) or category
    return taxonomy[known].label(language) if known in taxonomy else category


def _branches(taxonomy: Taxonomy, nodes: Sequence[Category], language: str, above: str | None) -> tuple[Choice, ...]:
    """Choices with their digits behind those `above`; None: without digits."""
    found = []
    for place, node in enumerate(nodes, 1):
        key = None if above is None or place > DIGITS else f"{above}{place}"
        found.append(choice(taxonomy, node, language, key or "", _branches(taxonomy, node.children, language, key)))
    return tuple(found)


def _pieces(text: str, known: Collection[str] | None) -> Iterator[Piece]:
    """What a customer wrote, and the placeholders in it: those that are `known`, or all. A customer may have written one, too."""
    last = 0
    for match in _PLACEHOLDER.finditer(text):
        if known is not None and match[0] not in known:
            continue
        if match.start() > last:
            yield Piece(text[last : match.start()], hidden=False)
        yield Piece(match[0], hidden=True)
        last = match.end()
    if last < len(text):
        yield Piece(text[last:], hidden=False)


def _beginning(ticket: Ticket) -> str:
    text = " ".join(f"{ticket.title} {ticket.content}".split())
    return text if len(text) <= _SIMILAR else text[: _SIMILAR - 1].rstrip() + "…"
