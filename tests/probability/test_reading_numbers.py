"""From what an engine showed to a distribution: worked examples and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp

from llmtriage.probability.readings import (
    MASKED,
    Floats,
    NoLabelError,
    NotProbabilitiesError,
    averaged,
    chance_left_out,
    fitted_slope,
    from_logprobs,
    from_votes,
    prior_of,
    tempered_log_loss,
    widened,
    without_prior,
)

NAN, INF = math.nan, math.inf
UNSEEN = (NAN, -INF, -9999.0, MASKED, -3.4e38)

weights = st.floats(1e-6, 1.0)
scores = st.lists(st.floats(-30, 0), min_size=2, max_size=8).map(lambda row: np.asarray(log_softmax(row)))


def logs(*shares: float) -> Floats:
    """Natural logarithms of probabilities; NaN for those that are not known."""
    return np.asarray(np.log(shares))


# -- log-probabilities -----------------------------------------------------------------------------


@st.composite
def lists(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """What a server listed: categories, of which some are not there, and among other tokens those that are."""
    shares = np.array(draw(st.lists(weights, min_size=1, max_size=12)))
    others = np.array(draw(st.lists(weights, max_size=5)))
    total = draw(st.floats(1.0, 1.5)) * (shares.sum() + others.sum())
    found = np.log(shares / total)
    listed = np.concatenate([found, np.log(others / total)])
    for place in draw(st.lists(st.integers(0, len(shares) - 1), max_size=12)):
        found[place] = listed[place] = draw(st.sampled_from(UNSEEN))
    return found, listed


@given(lists(), st.booleans())
def test_a_distribution_over_all_categories_comes_out_of_any_list(given_lists: tuple[Floats, Floats], masked: bool) -> None:  # noqa: FBT001
    """It sums to 1, keeps the ratios of what was seen, and what was not is neither zero nor above the smallest value listed."""
    found, listed = given_lists
    unseen = ~(found > MASKED)
    if unseen.all():
        with pytest.raises(NoLabelError):
            from_logprobs(found, listed=listed, renormalised=masked)
        return
    values, missing, mass = from_logprobs(found, listed=listed, renormalised=masked)
    assert np.isfinite(values).all()
    assert np.exp(values).sum() == pytest.approx(1)
    assert (missing == unseen).all()
    assert np.ptp(values[~unseen] - found[~unseen]) == pytest.approx(0, abs=1e-9)
    real = listed[listed > MASKED]
    before = values - (values - found)[~unseen][0]  # what each had before normalising
    assert (before[unseen] <= real.min() + 1e-9).all()
    assert np.exp(before[unseen]).sum() <= max(1 - np.exp(real).sum(), 1e-6) + 1e-9
    assert mass == (None if masked else pytest.approx(np.exp(found[~unseen]).sum()))


@pytest.mark.parametrize("absent", UNSEEN)
def test_what_is_missing_gets_the_smallest_listed_value_or_a_share_of_the_rest(absent: float) -> None:
    """Whichever is less; NaN, minus infinity and -9999 are all the same."""
    found = np.array([*logs(0.6, 0.2), absent, absent])
    values, missing, mass = from_logprobs(found, listed=np.array([*logs(0.6, 0.2, 0.01), absent]))
    assert np.exp(values) == pytest.approx(np.array([0.6, 0.2, 0.01, 0.01]) / 0.82)
    assert missing.tolist() == [False, False, True, True]
    assert mass == pytest.approx(0.8)
    values, _, _ = from_logprobs(found, listed=logs(0.6, 0.2, 0.196))
    assert np.exp(values) == pytest.approx(np.array([0.6, 0.2, 0.002, 0.002]) / 0.804)


def test_where_nothing_is_left_what_is_missing_still_has_something() -> None:
    """A millionth, divided."""
    values, _, _ = from_logprobs(np.array([*logs(0.7, 0.3), NAN, NAN]), listed=logs(0.7, 0.3))
    assert np.exp(values[2:]) == pytest.approx([5e-7, 5e-7], rel=1e-5)


def test_one_category_is_certain_whatever_its_mass() -> None:
    """There is nothing else to choose."""
    values, _, mass = from_logprobs(logs(0.25), listed=logs(0.25))
    assert values.tolist() == [0.0]
    assert mass == pytest.approx(0.25)


def test_a_mask_hides_the_mass() -> None:
    """After normalising it would read 1."""
    assert from_logprobs(logs(0.7, 0.3), listed=logs(0.7, 0.3), renormalised=True).mass is None


@pytest.mark.parametrize(
    ("found", "listed"),
    [
        pytest.param([0.5, -1.0], [0.5, -1.0], id="a positive category"),
        pytest.param([-1.0, -2.0], [-1.0, -2.0, 0.5], id="another positive token"),
        pytest.param([1e4, -1.0], [1e4, -1.0], id="too large for its exponential"),
        pytest.param([INF, -1.0], [INF, -1.0], id="infinite"),
        pytest.param([-1.0, NAN], [-1.0, INF], id="another infinite token"),
        pytest.param([*logs(0.9, 0.2)], [], id="categories above 1"),
        pytest.param([*logs(0.5, 0.2)], [*logs(0.5, 0.2, 0.5)], id="all tokens above 1"),
        pytest.param([90.0, 10.0], [90.0, 10.0], id="percent"),
    ],
)
def test_numbers_that_cannot_be_logarithms_of_probabilities_are_refused(found: list[float], listed: list[float]) -> None:
    """Without a warning from the arithmetic."""
    with pytest.raises(NotProbabilitiesError):
        from_logprobs(np.array(found), listed=np.array(listed))


def test_rounding_is_forgiven() -> None:
    """A logarithm a hair above 0, a sum a hair above 1; the mass is then 1."""
    values, _, mass = from_logprobs(np.array([0.0005, -9.0]), listed=np.array([0.0005, -9.0]))
    assert (mass, np.exp(values).sum()) == (1.0, pytest.approx(1))
    assert from_logprobs(logs(0.8, 0.215), listed=logs(0.8, 0.215)).mass == 1.0


# -- votes -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10).filter(any), st.integers(0, 20))
def test_votes_follow_the_formula(counts: list[int], unreadable: int) -> None:
    """(n_k + 1/K) / (n + 1): a distribution, in the order of the counts, with something for everyone."""
    n, k = sum(counts), len(counts)
    values, missing, mass = from_votes(np.array(counts), unreadable=unreadable)
    assert np.exp(values) == pytest.approx((np.array(counts) + 1 / k) / (n + 1))
    assert np.exp(values).sum() == pytest.approx(1)
    assert missing.tolist() == [count == 0 for count in counts]
    assert mass == pytest.approx(n / (n + unreadable))


def test_five_votes_for_one_of_two_say_eleven_twelfths() -> None:
    """Not certainty."""
    assert np.exp(from_votes(np.array([5, 0])).values) == pytest.approx([11 / 12, 1 / 12])


def test_no_votes_are_no_distribution() -> None:
    """Answers that could not be read tell of no category."""
    with pytest.raises(NoLabelError):
        from_votes(np.zeros(3, np.int64), unreadable=5)


# -- corrections -----------------------------------------------------------------------------------


@given(scores)
def test_a_uniform_prior_changes_nothing_and_the_same_prior_leaves_nothing(row: Floats) -> None:
    """A ticket of which no more is said than of an empty text has all categories alike."""
    uniform = np.full(len(row), -math.log(len(row)))
    nothing = np.zeros(len(row), np.bool_)
    assert without_prior(row, uniform, nothing) == pytest.approx(row)
    assert without_prior(row, row, nothing) == pytest.approx(uniform)


def test_a_prior_is_divided_out() -> None:
    """0.6 : 0.4 where an empty text gets 0.9 : 0.1 speaks for the second."""
    assert np.exp(without_prior(logs(0.6, 0.4), logs(0.9, 0.1), np.array([False, False]))) == pytest.approx([1 / 7, 6 / 7])


def test_what_empty_texts_did_not_show_counts_as_the_rarest_that_they_did() -> None:
    """A bound of a millionth would lift whatever a ticket says of it a million times."""
    rows, missing = np.log([[0.7, 0.3 - 1e-6, 1e-6], [0.9, 0.1 - 1e-6, 1e-6]]), np.array([[False, False, True]] * 2)
    assert np.exp(prior_of(rows, missing)) == pytest.approx([0.8, 0.2, 0.2], abs=1e-5)
    missing[1, 2] = False  # one of them showed it
    assert np.exp(prior_of(rows, missing)) == pytest.approx([0.8, 0.2, 1e-6], abs=1e-5)


def test_what_a_ticket_did_not_show_never_overtakes_what_it_did() -> None:
    """However rare it was in empty texts: the ticket says nothing of it."""
    missing = np.array([False, False, True])
    corrected = np.exp(without_prior(logs(0.8, 0.15, 0.05), logs(0.7, 0.3 - 1e-6, 1e-6), missing))
    assert corrected == pytest.approx(np.array([0.8 / 0.7, 0.5, 0.5]) / (0.8 / 0.7 + 1), abs=1e-5)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 999))
def test_the_average_is_that_of_probabilities(rows: int, columns: int, seed: int) -> None:
    """Not of logarithms."""
    values = np.asarray(log_softmax(np.random.default_rng(seed).normal(size=(rows, columns)) * 5, axis=1))
    assert np.exp(averaged(values)) == pytest.approx(np.exp(values).mean(axis=0))


# -- shortlists ------------------------------------------------------------------------------------


@given(st.lists(weights, min_size=2, max_size=10), st.floats(1e-6, 1 - 1e-6), st.data())
def test_what_a_shortlist_leaves_out_keeps_its_share(shares: list[float], left_out: float, data: st.DataObject) -> None:
    """All of it together as much as it was given, divided by the weights; the list itself keeps its ratios."""
    count = len(shares)
    kept = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=count)))
    values = np.asarray(log_softmax(data.draw(st.lists(st.floats(-20, 0), min_size=len(kept), max_size=len(kept)))))
    whole = np.exp(widened(values, np.array(kept), np.array(shares), left_out))
    outside = [place for place in range(count) if place not in kept]
    assert whole.sum() == pytest.approx(1)
    if not outside:
        assert whole == pytest.approx(np.exp(values))
        return
    assert whole[outside].sum() == pytest.approx(left_out)
    assert whole[kept] == pytest.approx(np.exp(values) * (1 - left_out))
    weight = np.array(shares)[outside]
    assert whole[outside] == pytest.approx(left_out * weight / weight.sum())


def test_the_chance_of_a_miss_follows_the_rule_of_succession() -> None:
    """Never 0 and never 1; one half where nothing was tried."""
    assert [chance_left_out(*pair) for pair in ((0, 0), (98, 98), (0, 98), (95, 98))] == pytest.approx([0.5, 0.01, 0.99, 0.04])


# -- temperature -----------------------------------------------------------------------------------


def sampled(n: int, temperature: float, seed: int = 0) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Scores that are sharper than the truth by a known factor: labels are drawn after dividing by the temperature."""
    rng = np.random.default_rng(seed)
    values = np.asarray(log_softmax(rng.normal(size=(n, 4)) * 3, axis=1))
    chances = np.exp(log_softmax(values / temperature, axis=1))
    gold = (rng.random(n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    return values, np.minimum(gold, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    """From labels drawn at it."""
    assert fitted_slope(*sampled(4_000, temperature)) == pytest.approx(1 / temperature, rel=0.1)


def test_the_slope_stays_within_its_bounds() -> None:
    """Where every label is right it would be infinite, where every one is wrong below zero."""
    values = np.asarray(log_softmax(np.eye(4), axis=1))
    assert fitted_slope(values, np.arange(4)) == pytest.approx(20, rel=1e-3)
    assert fitted_slope(values, (np.arange(4) + 1) % 4) == pytest.approx(0.05, rel=1e-3)


def test_each_ticket_is_judged_by_a_temperature_of_the_others() -> None:
    """Worked out by hand for two folds."""
    values, gold = sampled(60, 2.0)
    folds = np.arange(60) % 2
    losses = tempered_log_loss(values, gold, folds)
    for fold in (0, 1):
        inside = folds == fold
        scaled = fitted_slope(values[~inside], gold[~inside]) * values[inside]
        by_hand = logsumexp(scaled, axis=1) - scaled[np.arange(len(scaled)), gold[inside]]
        assert losses[inside] == pytest.approx(by_hand)
    changed = gold.copy()
    changed[folds == 0] = (changed[folds == 0] + 1) % 4
    assert tempered_log_loss(values, changed, folds)[folds == 0] != pytest.approx(losses[folds == 0])


def test_sharpening_is_no_gain_once_a_temperature_is_fitted() -> None:
    """Scores raised to a power have the same loss after it."""
    values, gold = sampled(400, 1.0)
    folds = np.arange(400) % 2
    sharper = np.asarray(log_softmax(3 * values, axis=1))
    assert tempered_log_loss(sharper, gold, folds).mean() == pytest.approx(
        tempered_log_loss(values, gold, folds).mean(), rel=1e-3
    )
