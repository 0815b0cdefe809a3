"""The example tickets are what examples/README.md says."""

from __future__ import annotations

from collections import Counter

from support import ROOT

from llmtriage import Taxonomy
from llmtriage.duplicates import most_similar_pairs
from llmtriage.tickets import read_tickets

ROWS = list(read_tickets(ROOT / "examples" / "tickets.csv").labelled(Taxonomy.sample()))


def test_there_are_enough_in_every_category_and_language() -> None:
    """At least 1,200, at least 100 that fit nowhere, at least 40 in each category, Chinese and English alike."""
    counts = Counter(row.category for row in ROWS)
    languages = Counter(row.ticket.language for row in ROWS)
    assert len(ROWS) >= 1200
    assert counts["other"] >= 100
    assert min(counts[leaf.id] for leaf in Taxonomy.sample().leaves) >= 40
    assert min(languages["en"], languages["zh"]) >= 500
    assert languages["mixed"] >= 50
    assert len({row.ticket.id for row in ROWS}) == len(ROWS)


def test_no_two_are_alike_by_template() -> None:
    """No pair shares 0.6 of its character shingles; numbers count as equal, so a filled template would show."""
    texts = [f"{row.ticket.title} {row.ticket.content}" for row in ROWS]
    assert most_similar_pairs(texts, 5, at_least=0.6) == []


def test_there_are_long_mails_with_quotes_and_signatures() -> None:
    """As real mailboxes have them."""
    long = [row for row in ROWS if len(row.ticket.content) > 500]
    quoted = [
        row
        for row in ROWS
        if "\n>" in row.ticket.content or "Original Message" in row.ticket.content or "发件人" in row.ticket.content
    ]
    assert len(long) >= 40
    assert len(quoted) >= 20


def test_no_example_of_the_taxonomy_is_among_them() -> None:
    """What the prompt shows is not what is evaluated."""
    shown = {text for leaf in Taxonomy.sample().leaves for text in leaf.examples}
    assert not shown & {row.ticket.content for row in ROWS}
