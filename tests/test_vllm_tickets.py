"""The tickets a small model is tried on are what tests/vllm/README.md says."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from support import ROOT

from llmtriage import Taxonomy
from llmtriage.lint import lint
from llmtriage.tickets import read_tickets

FOLDER = ROOT / "tests" / "vllm"
TAXONOMY = Taxonomy.load(FOLDER / "taxonomy.yaml")
ROWS = list(read_tickets(FOLDER / "tickets.csv").labelled())
TEXTS = [row.ticket.content for row in ROWS]

# How people type in haste: contractions without their apostrophe, words of chats, and words spelt wrong. Not "its", which may be right.
_HASTY = """
arent cant didnt doesnt dont hasnt im isnt ive noones shouldve thats theres theyre wasnt whats wont youve
2nite cld gtg idk lol n nite plz pls ppl r rn shd thx til tbh thru tonite u ur wknd wud
acess acount allready binoculers cheepest chiken definately diesl hav hw intrest payed realy resturants tommorow untill
"""
HASTY = frozenset(_HASTY.split())


def words(text: str) -> frozenset[str]:
    """The words of a text without case and punctuation; an apostrophe inside a word stays."""
    return frozenset(re.findall(r"\w+(?:['’]\w+)*", text.lower()))


def is_hasty(text: str) -> bool:
    """Whether it begins in lower case or holds a word of `HASTY`."""
    return text[0].islower() or not HASTY.isdisjoint(words(text))


def test_every_category_has_its_share() -> None:
    """At least 22 of each of the ten domains and 66 of none, and no other category."""
    counts = Counter(row.category for row in ROWS)
    leaves = {leaf.id for leaf in TAXONOMY.leaves}
    assert len(leaves) == 10
    assert set(counts) == leaves | {"none"}
    assert min(counts[leaf] for leaf in leaves) >= 22
    assert counts["none"] >= 66


def test_every_ticket_is_there_once() -> None:
    """No empty text, no id twice, and no two that share more than half of their words (Jaccard of word sets)."""
    sets = [words(text) for text in TEXTS]
    assert all(sets)
    assert len({row.ticket.id for row in ROWS}) == len(ROWS)
    assert [(a, b) for a, b in itertools.combinations(sets, 2) if len(a & b) > len(a | b) / 2] == []


def test_haste_is_told_from_care() -> None:
    """A lower-case start, a missing apostrophe and a misspelt word count; a tidy sentence does not."""
    hasty = ["where is it", "Whats left?", "The cheepest one", "Thanks, C U"]
    assert [is_hasty(text) for text in hasty] == [True] * 4
    assert not is_hasty("It's mine, isn't it? I can't say what's left of the 4 kilos we've bought.")


def test_people_write_in_many_ways() -> None:
    """In the domains and outside them, at least 15 % are typed in haste and at least 15 % with care."""
    for outside in (False, True):
        hasty = [is_hasty(row.ticket.content) for row in ROWS if (row.category == "none") is outside]
        assert 0.15 <= sum(hasty) / len(hasty) <= 0.85


def test_haste_is_more_than_lower_case() -> None:
    """At least 15 % have a hasty word, in every category; some of these begin with a capital. At least 15 % do not."""
    hasty = [row for row in ROWS if not HASTY.isdisjoint(words(row.ticket.content))]
    assert {row.category for row in hasty} == {row.category for row in ROWS}
    assert len(hasty) / len(ROWS) >= 0.15
    assert sum(row.ticket.content[0].isupper() for row in hasty) >= 15
    assert sum(text[0].islower() for text in TEXTS) / len(TEXTS) >= 0.15


def test_some_tell_more_than_they_ask() -> None:
    """At least 15 % have two sentences or more, at least 5 % three; at least 10 % are of six words or fewer."""
    sentences = [len(re.findall(r"[.!?]+(?= |$)", text)) for text in TEXTS]
    assert sum(n >= 2 for n in sentences) / len(TEXTS) >= 0.15
    assert sum(n >= 3 for n in sentences) / len(TEXTS) >= 0.05
    assert sum(len(text.split()) <= 6 for text in TEXTS) / len(TEXTS) >= 0.1


def test_the_taxonomy_is_sound() -> None:
    """Leaves in alphabetical order, each with a team, both languages and a case at its border; only the catch-all is missing."""
    assert [leaf.id for leaf in TAXONOMY.leaves] == sorted(leaf.id for leaf in TAXONOMY.leaves)
    assert [finding.code for finding in lint(TAXONOMY)] == ["T103"]
    for leaf in TAXONOMY.leaves:
        assert leaf.team
        assert leaf.excludes
        assert leaf.label("en") != leaf.label("zh")
