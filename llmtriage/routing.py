"""From a prediction to an outcome: gates, rules, thresholds. Pure: the same input gives the same outcome."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from llmtriage.errors import InputError
from llmtriage.outcomes import Accepted, Candidate, Outcome, Pending, Reason
from llmtriage.predictions import Failure, Prediction, Scores, SingleLabel
from llmtriage.prepare.personal.words import holds_one
from llmtriage.taxonomy import Rule, Taxonomy, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmtriage.calibration import Calibration
    from llmtriage.predictions import Floats
    from llmtriage.tickets import Ticket

_MOST_CANDIDATES = 5
# A Latin keyword matches as a whole word; Chinese has no spaces between words, so there it matches anywhere.
_LATIN = "0-9A-Za-z\u00c0-\u024f"


class Policy(BaseModel):
    """Everything that decides between the two outcomes, apart from teams and rules, which stand in the taxonomy.

    Attributes:
        threshold: Accept from this score on, in [0, 1]. None: accept nothing.
        departments: Whether a department may be accepted as an answer where the leaf is unsure.
        min_characters: Fewer letters, digits or ideographs than this are too little to decide on.
        max_characters: A longer prepared text is not sent to any engine.
        min_label_mass: The least probability on all labels together, where an engine tells it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    departments: bool = False
    min_characters: Annotated[int, Field(ge=0)] = 2
    max_characters: Annotated[int, Field(ge=1)] = 100_000
    min_label_mass: Annotated[float, Field(ge=0, le=1)] = 0.5


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A prediction as what routing looks at.

    Attributes:
        candidates: Most probable first.
        shares: The probability of each leaf; None where there is no distribution.
        label_mass: Of the engine.
    """

    candidates: tuple[Candidate, ...]
    shares: Floats | None = None
    label_mass: float | None = None


@dataclass(frozen=True, slots=True)
class _Matcher:
    """A rule with its keywords compiled."""

    rule: Rule
    pattern: re.Pattern[str] | None = field(repr=False)
    words: tuple[str, ...] = field(repr=False)

    def matches(self, ticket: Ticket, text: str, path: frozenset[str]) -> bool:
        when = self.rule.when
        if when.category and path.isdisjoint(when.category):
            return False
        if self.pattern and not (self._may_match(text) and self.pattern.search(text)):
            return False
        return all(ticket.value(name) in wanted for name, wanted in when.metadata.items())

    def _may_match(self, text: str) -> bool:
        """Whether it is worth looking with the pattern, which takes twenty times as long. Of other letters than ASCII's case is not so simple."""
        if not text.isascii():
            return True
        return holds_one(text.lower(), self.words)


class Router:
    """Routes tickets of one taxonomy under one policy."""

    def __init__(self, taxonomy: Taxonomy, policy: Policy | None = None, calibration: Calibration | None = None) -> None:
        """Prepare the tables that every ticket needs.

        Args:
            taxonomy: Where tickets go.
            policy: Gates and thresholds.
            calibration: Turns scores into probabilities and says what may be accepted.

        Raises:
            InputError: There is a calibration, and a threshold or departments in the policy, which are the calibration's to say.
        """
        self.taxonomy = taxonomy
        self.policy = policy or Policy()
        self.calibration = calibration
        if calibration and (self.policy.threshold is not None or self.policy.departments):
            name = "threshold" if self.policy.threshold is not None else "departments"
            raise InputError(
                "given besides a calibration, which says what is accepted", field=name, remedy="leave one of them out"
            )
        leaves = [leaf.id for leaf in taxonomy.leaves]
        self._paths = {node.id: frozenset(n.id for n in taxonomy.path(node.id)) for node in taxonomy.nodes}
        self._inner = [node for node in taxonomy.nodes if node.children]
        self._depths = [len(self._paths[node.id]) for node in self._inner]
        members = [[node.id in self._paths[leaf] for leaf in leaves] for node in self._inner]
        self._members = np.array(members, dtype=float).reshape(len(self._inner), len(leaves))
        self._leaves = leaves
        self._below = {node.id: frozenset(n.id for n in node.walk() if not n.children) for node in taxonomy.nodes}
        self._around = {
            name: frozenset[str]().union(*(self._paths[leaf] for leaf in below)) for name, below in self._below.items()
        }
        self._places = {name: [i for i, leaf in enumerate(leaves) if leaf in below] for name, below in self._below.items()}
        self._fields = sorted({name for rule in taxonomy.rules for name in rule.when.metadata})
        self._matchers = tuple(_matcher(rule) for rule in taxonomy.rules)
        self._always_reviewed = frozenset(leaf for leaf in self._leaves if taxonomy.always_review(leaf))

    @cached_property
    def fingerprint(self) -> str:
        """Identity of all that decides between the two outcomes."""
        nodes = [
            node.model_dump(mode="json", include={"id", "team", "max_error", "always_review"}) for node in self.taxonomy.nodes
        ]
        rules = [rule.model_dump(mode="json") for rule in self.taxonomy.rules]
        return digest({"policy": self.policy.model_dump(mode="json"), "nodes": nodes, "rules": rules})

    def looked_at(self, ticket: Ticket) -> dict[str, str]:
        """The fields of a ticket that rules look at, as far as it has them."""
        return {name: value for name in self._fields if (value := ticket.value(name))}

    def gate(self, ticket: Ticket, text: str) -> Pending | None:
        """The outcome of a ticket that no engine needs to see, else None."""
        if len(text) > self.policy.max_characters:
            detail = f"{len(text)} characters, the limit is {self.policy.max_characters}"
            return Pending(suggestion=None, reasons=(Reason(code="too_long", detail=detail),), ticket_id=ticket.id, text=text)
        if not _enough(text, self.policy.min_characters):
            return Pending(suggestion=None, reasons=(Reason(code="too_short"),), ticket_id=ticket.id, text=text)
        return None

    def route(self, ticket: Ticket, text: str, answer: Prediction | Failure) -> Outcome:
        """Decide on one ticket.

        Args:
            ticket: The ticket as received; its fields are what rules on metadata look at.
            text: The prepared text; what rules on keywords look at.
            answer: What the engine said about it, over all leaves of the taxonomy.
        """
        if isinstance(answer, Failure):
            return _failed(ticket, text, answer)
        ranked = self._rank(answer)
        if isinstance(ranked, Failure):
            return _failed(ticket, text, ranked)
        choice = self._choice(ranked)
        sure = None if self.calibration is None or choice.score is None else self.calibration.shown(choice.score)
        reasons = (*_unseen(answer), *self._reasons(ticket, text, ranked, choice, sure))
        common = {
            "candidates": _told(ranked.candidates, choice, sure),
            "ticket_id": ticket.id,
            "text": text,
            "prediction": answer,
            **self._numbers(answer.answer, choice, sure),
        }
        if reasons or choice.score is None:
            common["candidates"] = _told(self._shown(ranked), choice, sure)
            return Pending(suggestion=choice.category, reasons=reasons, **common)  # type: ignore[arg-type]
        team = self._team(ticket, text, choice.category)
        return Accepted(category=choice.category, team=team, **common)  # type: ignore[arg-type]

    def _numbers(self, answer: Scores | SingleLabel, choice: Candidate, sure: float | None) -> dict[str, float | bool | None]:
        """What is known of the choice: its score, and with a calibration how probable it is."""
        if self.calibration is None or sure is None:
            return {"score": choice.score, "confidence": None}
        own = answer.score if isinstance(answer, SingleLabel) else self._share(_shares(answer.values), choice.category)
        return {"score": own, "confidence": sure, "calibrated": self.calibration.calibrated}

    def _share(self, shares: Floats, category: str) -> float:
        """The probability of a leaf, or of all leaves below a node."""
        return float(shares[self._places[category]].sum())

    def _rank(self, prediction: Prediction) -> _Ranked | Failure:
        answer = prediction.answer
        if isinstance(answer, SingleLabel):
            return self._rank_label(answer)
        if answer.values.shape != (len(self._leaves),) or not np.isfinite(answer.values).all():
            return Failure(reason="bad_response", detail="the engine's scores are not finite numbers, one a category")
        return self._rank_scores(answer)

    def _rank_label(self, answer: SingleLabel) -> _Ranked | Failure:
        if answer.category not in self._below or self._below[answer.category] != {answer.category}:
            return Failure(reason="unknown_label", detail="the engine named a category that is none of the leaves")
        if answer.score is not None and not 0 <= answer.score <= 1:
            return Failure(reason="bad_response", detail="the engine's number is not between 0 and 1")
        number = answer.score
        if self.calibration is not None and number is not None:
            number = self.calibration.confidence(number)
        return _Ranked((Candidate(category=answer.category, score=number),))

    def _rank_scores(self, answer: Scores) -> _Ranked:
        logs = answer.values if self.calibration is None else self.calibration.log_probabilities(answer)
        shares = _shares(logs)
        order = (-logs).argsort(kind="stable")[:_MOST_CANDIDATES]
        best = zip(order.tolist(), shares[order].tolist(), strict=True)
        candidates = [Candidate(category=self._leaves[i], score=score) for i, score in best]
        return _Ranked(tuple(candidates), shares, answer.label_mass)

    def _shown(self, ranked: _Ranked) -> tuple[Candidate, ...]:
        """What a reviewer chooses among: with a calibration few, where these hold the right one often enough."""
        if self.calibration is None or ranked.shares is None:
            return ranked.candidates
        return ranked.candidates[: self.calibration.candidates.size([one.score or 0.0 for one in ranked.candidates])]

    def _choice(self, ranked: _Ranked) -> Candidate:
        """What is offered as the answer: with a calibration what that says, else the leaf, or a department where only that is sure."""
        if self.calibration is None:
            return self._surest(ranked)
        return self._department(ranked) if self.calibration.answer == "department" else ranked.candidates[0]

    def _department(self, ranked: _Ranked) -> Candidate:
        """The most probable category of the top level."""
        leaf = ranked.candidates[0]
        if ranked.shares is None:
            return Candidate(category=self.taxonomy.path(leaf.category)[0].id, score=leaf.score)
        totals = [self._share(ranked.shares, top.id) for top in self.taxonomy.categories]
        best = int(np.argmax(totals))
        return Candidate(category=self.taxonomy.categories[best].id, score=min(1.0, totals[best]))

    def _surest(self, ranked: _Ranked) -> Candidate:
        """The leaf, or the deepest department that is sure where the leaf is not."""
        leaf = ranked.candidates[0]
        threshold = self.policy.threshold
        if threshold is None or leaf.score is None or leaf.score >= threshold or ranked.shares is None:
            return leaf
        sums = self._members @ ranked.shares
        above = self._paths[leaf.category]
        sure = [i for i, total in enumerate(sums) if total >= threshold and self._inner[i].id in above]
        if not sure:
            return leaf
        best = max(sure, key=lambda i: (self._depths[i], sums[i]))
        return Candidate(category=self._inner[best].id, score=min(1.0, float(sums[best])))

    def _reasons(self, ticket: Ticket, text: str, ranked: _Ranked, choice: Candidate, sure: float | None) -> tuple[Reason, ...]:
        # A department stands for all its leaves: what holds one of them back holds it back.
        leaves = self._below[choice.category]
        rules = self._rules(ticket, text, self._around[choice.category])
        return (*self._gates(leaves, ranked), *rules, *self._threshold(choice, sure))

    def _gates(self, leaves: frozenset[str], ranked: _Ranked) -> Iterable[Reason]:
        if held := sorted(leaves & self._always_reviewed):
            yield Reason(code="always_review", detail=", ".join(held))
        catch_all = self.taxonomy.catch_all
        if catch_all and catch_all.id in leaves and not self.taxonomy.team(catch_all.id):
            yield Reason(code="none_of_these")
        if ranked.label_mass is not None and not ranked.label_mass >= self.policy.min_label_mass:
            yield Reason(code="low_label_mass", detail=f"{ranked.label_mass:.2f}")

    def _rules(self, ticket: Ticket, text: str, path: frozenset[str]) -> Iterable[Reason]:
        for matcher in self._matchers:
            if matcher.rule.always_review and matcher.matches(ticket, text, path):
                yield Reason(code="always_review", detail=matcher.rule.name)

    def _threshold(self, choice: Candidate, sure: float | None) -> Iterable[Reason]:
        threshold = self.calibration.threshold(choice.category) if self.calibration else self.policy.threshold
        if threshold is None:
            yield Reason(code="no_promise" if self.calibration else "uncalibrated")
        elif choice.score is None or math.isnan(choice.score):
            yield Reason(code="below_threshold", detail="the model gave no number")
        elif choice.score < threshold:
            least = self.calibration.shown(threshold) if self.calibration else threshold
            yield Reason(code="below_threshold", detail=f"{choice.score if sure is None else sure:.2f} < {least:g}")
        elif not self.calibration and self.taxonomy[choice.category].children and not self.policy.departments:
            yield Reason(code="below_threshold", detail="only the department is sure")

    def _team(self, ticket: Ticket, text: str, category: str) -> str | None:
        for matcher in self._matchers:
            if matcher.rule.team and matcher.matches(ticket, text, self._paths[category]):
                return matcher.rule.team
        return self.taxonomy.team(category)


def _shares(logs: Floats) -> Floats:
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _told(candidates: tuple[Candidate, ...], choice: Candidate, sure: float | None) -> tuple[Candidate, ...]:
    """The candidates with numbers that go with the confidence in the choice: in the same order, and together at most 1.

    Where that is lower than the calibrator's number, what is taken away is given to nobody: the ticket may belong nowhere.
    """
    if sure is None or not choice.score or sure == choice.score:
        return candidates
    others = min(sure / choice.score, (1 - sure) / (1 - choice.score) if choice.score < 1 else math.inf)
    scores = (sure if one.category == choice.category else min(sure, (one.score or 0.0) * others) for one in candidates)
    return tuple(Candidate(category=one.category, score=score) for one, score in zip(candidates, scores, strict=True))


def _unseen(answer: Prediction) -> Iterable[Reason]:
    if answer.left_out:
        yield Reason(code="too_long", detail=f"the model did not see {answer.left_out} characters in the middle")


def _failed(ticket: Ticket, text: str, failure: Failure) -> Pending:
    reason = Reason(code=failure.reason, detail=failure.detail)
    return Pending(suggestion=None, reasons=(reason,), ticket_id=ticket.id, text=text, failure=failure)


def _enough(text: str, wanted: int) -> bool:
    found = 0
    for character in text:
        found += character.isalnum()
        if found >= wanted:
            return True
    return wanted == 0


def _matcher(rule: Rule) -> _Matcher:
    words = rule.when.keywords
    return _Matcher(rule, _keywords(words), tuple(_certain_part(word) for word in words))


def _certain_part(word: str) -> str:
    """What stands in every ASCII text in small letters in which a keyword is found: its first word, as far as its letters have one form."""
    first = (word.split() or [""])[0]
    return first.lower() if first.isascii() or first.lower() == first.upper() else ""


def _keywords(words: tuple[str, ...]) -> re.Pattern[str] | None:
    if not words:
        return None
    parts = []
    for word in words:
        head = rf"(?<![{_LATIN}])" if re.match(rf"[{_LATIN}]", word) else ""
        tail = rf"(?![{_LATIN}])" if re.search(rf"[{_LATIN}]$", word) else ""
        parts.append(head + re.sub(r"(\\ )+", r"\\s+", re.escape(word)) + tail)
    return re.compile("|".join(parts), re.IGNORECASE)
