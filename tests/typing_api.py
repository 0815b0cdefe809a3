"""Never run, only type-checked: what a user writes has the types that the documentation says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import llmtriage
from llmtriage import Accepted, Backend, Candidate, Outcome, Pending, Policy, Reason, Taxonomy, Ticket, Triage
from llmtriage.testing import ScriptedBackend


def sync_calls(triage: Triage) -> None:
    """One and many."""
    assert_type(llmtriage.classify("a text", backend="lexical"), Outcome)
    assert_type(triage.classify(Ticket(content="a text")), Outcome)
    assert_type(triage.classify_many(["a text", "another"]), Iterator[Outcome])


async def async_calls(triage: Triage) -> None:
    """The same for async code."""
    assert_type(await triage.aclassify("a text"), Outcome)
    assert_type(triage.aclassify_many([Ticket(content="a text")]), AsyncIterator[Outcome])


def matching(outcome: Outcome) -> str | None:
    """The two outcomes are all there are: a type checker sees that nothing is left."""
    match outcome:
        case Accepted(category=category, team=team, confidence=confidence):
            assert_type(category, str)
            assert_type(team, str | None)
            assert_type(confidence, float | None)
            return category
        case Pending(suggestion=suggestion, candidates=candidates, reasons=reasons):
            assert_type(candidates, tuple[Candidate, ...])
            assert_type(reasons, tuple[Reason, ...])
            return suggestion


def parts() -> Triage:
    """Engines, taxonomies and policies may be given as objects."""
    backend: Backend = ScriptedBackend({"a": 1.0})
    return Triage(taxonomy=Taxonomy.from_labels(["a", "b"]), backend=backend, policy=Policy(threshold=0.5, departments=True))
