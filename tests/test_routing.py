"""Routing: gates, rules, thresholds, departments; nothing is accepted that should wait."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Accepted, Failure, Pending, Policy, Prediction, Scores, SingleLabel, Taxonomy
from llmtriage.outcomes import REASON_CODES, Reason
from llmtriage.routing import Router
from llmtriage.taxonomy import Rule
from llmtriage.testing import make_ticket

IDS = ["refund", "parcel", "login", "privacy", "other"]


def scored(label_mass: float | None = None, **shares: float) -> Prediction:
    """A prediction with these shares over the leaves of `shop`."""
    values = np.log([max(shares.get(name, 0.0), 1e-9) for name in IDS])
    return Prediction(answer=Scores(values=values, label_mass=label_mass), source="logprobs", model="m")


def single(category: str, score: float | None) -> Prediction:
    """A prediction of one label."""
    return Prediction(answer=SingleLabel(category=category, score=score), source="verbalized", model="m")


def codes(outcome: Accepted | Pending) -> list[str]:
    """The reason codes of a pending outcome."""
    assert isinstance(outcome, Pending)
    return [reason.code for reason in outcome.reasons]


def test_a_sure_ticket_goes_to_its_team(shop: Taxonomy) -> None:
    """With its score, its candidates, and no confidence, since nothing was calibrated."""
    outcome = Router(shop, Policy(threshold=0.7)).route(make_ticket(), "a text", scored(refund=0.75, parcel=0.25))
    assert isinstance(outcome, Accepted)
    assert (outcome.category, outcome.team, outcome.confidence, outcome.calibrated) == ("refund", "sales", None, False)
    assert outcome.score == pytest.approx(0.75)
    assert [c.category for c in outcome.candidates[:2]] == ["refund", "parcel"]


def test_at_the_threshold_counts_as_above_it(shop: Taxonomy) -> None:
    """The limit itself is accepted."""
    assert isinstance(Router(shop, Policy(threshold=0.75)).route(make_ticket(), "a text", single("refund", 0.75)), Accepted)


def test_what_the_model_did_not_see_whole_is_not_accepted(shop: Taxonomy) -> None:
    """However sure it is of the rest; the suggestion stands, and the reason says how much is missing."""
    answer = replace(single("refund", 0.99), left_out=1200)
    outcome = Router(shop, Policy(threshold=0.5)).route(make_ticket(), "a text", answer)
    assert codes(outcome) == ["too_long"]
    assert isinstance(outcome, Pending)
    assert outcome.suggestion == "refund"
    assert "1200 characters in the middle" in outcome.why()


def test_without_threshold_nothing_is_accepted(shop: Taxonomy) -> None:
    """However sure the model is."""
    outcome = Router(shop).route(make_ticket(), "a text", scored(refund=1.0))
    assert codes(outcome) == ["uncalibrated"]
    assert isinstance(outcome, Pending)
    assert outcome.suggestion == "refund"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(scored(refund=0.6, login=0.4), ["below_threshold"], id="unsure"),
        pytest.param(scored(privacy=1.0), ["always_review"], id="always review"),
        pytest.param(scored(other=1.0), ["none_of_these"], id="catch-all without a team"),
        pytest.param(scored(0.2, refund=1.0), ["low_label_mass"], id="label mass"),
        pytest.param(scored(math.nan, refund=1.0), ["low_label_mass"], id="label mass is no number"),
        pytest.param(single("refund", None), ["below_threshold"], id="no number"),
        pytest.param(single("refund", 0.5), ["below_threshold"], id="low number"),
        pytest.param(Failure(reason="timeout", detail="60 s"), ["timeout"], id="failure"),
    ],
)
def test_what_waits_waits_with_its_reason(shop: Taxonomy, answer: Prediction | Failure, expected: list[str]) -> None:
    """Each gate and each failure has its code."""
    assert codes(Router(shop, Policy(threshold=0.8)).route(make_ticket(), "a text", answer)) == expected


@pytest.mark.parametrize(
    "values", [[math.nan, 0, 0, 0, 0], [0, -math.inf, 0, 0, 0], [0.0, 0.0]], ids=["nan", "infinite", "wrong length"]
)
def test_scores_that_are_no_numbers_never_route(shop: Taxonomy, values: list[float]) -> None:
    """An engine that breaks its contract makes a pending ticket, not a label."""
    answer = Prediction(answer=Scores(values=np.array(values)), source="logprobs", model="m")
    assert codes(Router(shop, Policy(threshold=0)).route(make_ticket(), "a text", answer)) == ["bad_response"]


def test_a_sure_department_is_suggested_and_accepted_only_by_policy(shop: Taxonomy) -> None:
    """The sum of the leaves decides; accepting it is a choice."""
    answer = scored(refund=0.5, parcel=0.45, login=0.05)
    waits = Router(shop, Policy(threshold=0.9)).route(make_ticket(), "a text", answer)
    assert isinstance(waits, Pending)
    assert (waits.suggestion, codes(waits)) == ("sales", ["below_threshold"])
    goes = Router(shop, Policy(threshold=0.9, departments=True)).route(make_ticket(), "a text", answer)
    assert isinstance(goes, Accepted)
    assert (goes.category, goes.team) == ("sales", "sales")
    assert goes.score == pytest.approx(0.95)


REVIEWED = Taxonomy.model_validate(
    {
        "categories": [
            {"id": "d1", "children": [{"id": "refund"}]},
            {"id": "d2", "children": [{"id": "parcel"}, {"id": "login", "always_review": True}]},
            {"id": "d3", "children": [{"id": "privacy"}, {"id": "other", "catch_all": True}]},
        ]
    }
)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        pytest.param({"parcel": 0.5, "login": 0.49}, ["always_review"], id="a leaf below is always reviewed"),
        pytest.param({"privacy": 0.5, "other": 0.49}, ["none_of_these"], id="the catch-all is below"),
        pytest.param({"refund": 0.34, "privacy": 0.33, "other": 0.33}, ["below_threshold"], id="not above the top leaf"),
    ],
)
def test_a_department_waits_for_what_holds_a_leaf_of_it(shares: dict[str, float], expected: list[str]) -> None:
    """Accepting the department accepts all its leaves, and only the department of the top leaf counts."""
    router = Router(REVIEWED, Policy(threshold=0.6, departments=True))
    assert codes(router.route(make_ticket(), "a text", scored(**shares))) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(single("zzz", 1.0), ["unknown_label"], id="unknown"),
        pytest.param(single("sales", 1.0), ["unknown_label"], id="a department"),
        pytest.param(single("refund", 95), ["bad_response"], id="95"),
        pytest.param(single("refund", math.inf), ["bad_response"], id="infinite"),
        pytest.param(single("refund", math.nan), ["bad_response"], id="nan"),
    ],
)
def test_a_single_label_of_any_engine_is_checked(shop: Taxonomy, answer: Prediction, expected: list[str]) -> None:
    """A third party's engine cannot route to nowhere."""
    assert codes(Router(shop, Policy(threshold=0.5)).route(make_ticket(), "a text", answer)) == expected


@pytest.mark.parametrize(
    ("when", "text", "metadata", "hit"),
    [
        ({"keywords": "lawyer"}, "my LAWYER will write", {}, True),
        ({"keywords": "lawyer"}, "the lawyers' fee", {}, False),
        ({"keywords": "lawyer"}, "我要找lawyer来", {}, True),
        ({"keywords": "sue you"}, "I will sue\nyou", {}, True),
        ({"keywords": "\u017fue"}, "I will sue you", {}, True),
        ({"keywords": ["refund", "SUE you"]}, "I will Sue  you", {}, True),
        ({"keywords": "律师"}, "我的律师会联系", {}, True),
        ({"keywords": "a+b (c)"}, "see a+b (c)!", {}, True),
        ({"metadata": {"tier": ["gold", "vip"]}}, "x", {"tier": "vip"}, True),
        ({"metadata": {"tier": "vip"}}, "x", {}, False),
        ({"metadata": {"tier": "vip"}}, "x", {"Tier": "vip"}, True),
        ({"metadata": {"channel": "mail"}}, "x", {}, True),
        ({"category": "sales"}, "x", {}, True),
        ({"category": ["login", "other"]}, "x", {}, False),
        ({"category": "refund", "keywords": "now"}, "later", {}, False),
    ],
)
def test_rules_hold_a_ticket_or_send_it_elsewhere(
    shop: Taxonomy,
    when: dict[str, object],
    text: str,
    metadata: dict[str, str],
    hit: bool,  # noqa: FBT001
) -> None:
    """All conditions of a rule must hold; of a list one is enough."""
    ticket = make_ticket(channel="mail", metadata=metadata)
    for effect in ({"always_review": True}, {"team": "special"}):
        rule = Rule.model_validate({"name": "r", "when": when, **effect})
        router = Router(shop.model_copy(update={"rules": (rule,)}), Policy(threshold=0.5))
        outcome = router.route(ticket, text, scored(refund=1.0))
        if "team" in effect:
            assert isinstance(outcome, Accepted)
            assert outcome.team == ("special" if hit else "sales")
        else:
            assert isinstance(outcome, Pending) == hit


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "too_short"),
        (" \n", "too_short"),
        ("😀😀😀", "too_short"),
        ("x", "too_short"),
        ("!?", "too_short"),
        ("x" * 100_001, "too_long"),
    ],
    ids=["empty", "blank", "emoji", "one letter", "punctuation", "long"],
)
def test_the_gate_needs_no_engine(shop: Taxonomy, text: str, code: str) -> None:
    """Too little or too much text waits before anything is asked."""
    outcome = Router(shop).gate(make_ticket(), text)
    assert outcome is not None
    assert codes(outcome) == [code]


@pytest.mark.parametrize("text", ["退款", "no", "ok 1", "x" * 100_000])
def test_the_gate_lets_short_words_pass(shop: Taxonomy, text: str) -> None:
    """Two ideographs are a request."""
    assert Router(shop).gate(make_ticket(), text) is None


@given(st.lists(st.floats(-50, 0), min_size=5, max_size=5), st.floats(0, 1), st.booleans())
def test_an_accepted_ticket_always_reaches_the_threshold(values: list[float], threshold: float, departments: bool) -> None:  # noqa: FBT001
    """For any scores: accepted means score >= threshold, pending means at least one reason, and five candidates at most."""
    flat = Taxonomy.from_labels(IDS)
    answer = Prediction(answer=Scores(values=np.array(values)), source="logprobs", model="m")
    outcome = Router(flat, Policy(threshold=threshold, departments=departments)).route(make_ticket(), "a text", answer)
    if isinstance(outcome, Accepted):
        assert threshold <= outcome.score <= 1 + 1e-12
        assert outcome.category == IDS[int(np.argmax(values))]
    else:
        assert outcome.reasons
    assert len(outcome.candidates) == 5


@pytest.mark.parametrize("code", REASON_CODES)
def test_every_reason_is_a_sentence_in_both_languages(code: str) -> None:
    """With its detail."""
    reason = Reason(code=code, detail="x < y")  # type: ignore[arg-type]
    assert reason.sentence("en").endswith("(x < y)")
    assert reason.sentence("zh").endswith("（x < y）")


def test_the_fingerprint_sees_policy_teams_and_rules(shop: Taxonomy) -> None:
    """Anything that decides between the two outcomes changes it."""
    rule = Rule.model_validate({"name": "r", "when": {"keywords": "x"}, "always_review": True})
    data = shop.model_dump()
    data["categories"][0]["team"] = "another"
    routers = [
        Router(shop),
        Router(shop, Policy(threshold=0.5)),
        Router(shop.model_copy(update={"rules": (rule,)})),
        Router(Taxonomy.model_validate(data)),
    ]
    assert len({router.fingerprint for router in routers}) == len(routers)
