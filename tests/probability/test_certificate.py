"""The certificate: its boundary digit by digit, its promise in worlds made to break it, and what does break it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr

from llmtriage.errors import InputError
from llmtriage.probability.certificate import (
    Boundary,
    certify,
    certify_at,
    certify_groups,
    crossing,
    delta_of_look,
    equal_levels,
    labels_needed,
    risk_limit,
    shared_delta,
)

# -- the boundary ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first", "last", "count", "probability"),
    [
        ((20, 0.1, 0.1), (), None, 0, 0.0),
        ((40, 0.1, 0.1), (25,), 25, 1, 0.071789798769),
        ((100, 0.1, 0.1), (31, 48, 64, 78, 92), 92, 5, 0.096232363317),
        ((200, 0.1, 0.1), (34, 53, 69, 84, 98, 112, 126, 139, 152, 165, 178, 191), 191, 12, 0.097944345506),
        ((30, 0.2, 0.1), (13, 22, 29), 29, 3, 0.097815591471),
        ((1000, 0.02, 0.1), (178, 271, 353, 429, 502, 573, 642, 709), 970, 12, 0.099285169080),
        ((1000, 0.05, 0.1), (79, 117, 151, 182, 212, 241, 269, 296), 987, 36, 0.099278422664),
        ((1000, 0.05, 0.05), (94, 135, 171, 203, 235, 265, 294, 323), 984, 34, 0.049512363316),
        ((1000, 0.1, 0.1), (41, 60, 77, 93, 108, 123, 137, 151), 999, 80, 0.099905590263),
        ((1000, 0.2, 0.1), (21, 30, 38, 46, 54, 61, 68, 75), 1000, 172, 0.099654502296),
        ((10_000, 0.05, 0.1), (94, 134, 170, 203, 234, 264, 293, 322), 9999, 449, 0.099549711941),
    ],
)
def test_the_default_boundary(
    asked: tuple[int, float, float], first: tuple[int, ...], last: int | None, count: int, probability: float
) -> None:
    """To the last digit."""
    found = equal_levels(*asked)
    assert len(found.need) == count
    assert found.need[: len(first)] == first
    assert found.need[-1:] == (() if last is None else (last,))
    assert found.crossing == pytest.approx(probability, abs=1e-12)


def test_by_hand() -> None:
    """No error in eleven; then two looks, which together spend more than either."""
    assert crossing([11], 0.2) == pytest.approx(0.8**11, abs=1e-15)
    assert crossing([22, 38], 0.1) == pytest.approx(0.9**22 + 2.2 * 0.9**37, abs=1e-14)
    assert crossing([], 0.1) == 0
    assert crossing([1], 0.0) == crossing([3], 0.0) == 1
    assert crossing([5, 6], 1.0) == 0


def exactly(need: Sequence[int], rate: Fraction, n: int) -> Fraction:
    """The same over the full table of tickets and errors, in fractions."""
    tolerated = [sum(k >= step for step in need) - 1 for k in range(n + 1)]
    walk, crossed = {0: Fraction(1)}, Fraction(0)
    for k in range(1, n + 1):
        after: dict[int, Fraction] = {}
        for errors, share in walk.items():
            after[errors] = after.get(errors, Fraction(0)) + share * (1 - rate)
            after[errors + 1] = after.get(errors + 1, Fraction(0)) + share * rate
        crossed += sum((share for errors, share in after.items() if errors <= tolerated[k]), Fraction(0))
        walk = {errors: share for errors, share in after.items() if errors > tolerated[k]}
    return crossed


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=12), st.integers(1, 50))
def test_the_crossing_is_that_of_fractions(steps: list[int], percent: int) -> None:
    """Any boundary, also one that tolerates several errors more at once."""
    need = sorted(steps)
    assert crossing(need, percent / 100) == pytest.approx(float(exactly(need, Fraction(percent, 100), 60)), abs=1e-13)


@pytest.mark.parametrize(("n", "alpha"), [(200, 0.05), (200, 0.2), (500, 0.1)])
def test_each_step_is_the_first_at_which_so_few_errors_are_as_rare(n: int, alpha: float) -> None:
    """All steps have one level, below delta, and the next larger level would spend too much."""
    found = equal_levels(n, alpha, 0.1)
    reached = [bdtr(j, k, alpha) for j, k in enumerate(found.need)]
    before = [bdtr(j, k - 1, alpha) for j, k in enumerate(found.need)]
    assert max(reached) < min(before)
    assert found.crossing <= 0.1


# -- certifying ------------------------------------------------------------------------------------

SCORES = [
    *(0.99, 0.99, 0.98, 0.97, 0.97, 0.97, 0.95, 0.94, 0.93, 0.92, 0.91, 0.90, 0.89, 0.88, 0.87),
    *(0.86, 0.85, 0.84, 0.84, 0.83, 0.82, 0.81, 0.80, 0.80, 0.80, 0.75, 0.70, 0.60, 0.55, 0.50),
]


def losses(n: int, *wrong: int) -> list[int]:
    """Ones at the places that are named, counted from 1."""
    return [int(place in wrong) for place in range(1, n + 1)]


def test_a_sample_of_thirty() -> None:
    """The lowest threshold that passes; never inside equal scores."""
    found = certify(SCORES, losses(30, 5, 23, 27, 29, 30), 0.2)
    assert (found.threshold, found.accepted, found.errors) == (0.81, 22, 1)
    assert found.boundary.need == (13, 22, 29)
    assert found.limit == pytest.approx(risk_limit(1, 22, 0.1))
    assert found.holds


def test_everything_is_accepted_where_the_whole_sample_passes() -> None:
    """Also what scores lower than any labelled ticket."""
    found = certify(SCORES, losses(30, 5, 27), 0.2)
    assert (found.threshold, found.accepted, found.errors) == (-math.inf, 30, 2)


def test_nothing_is_accepted_where_nothing_passes() -> None:
    """Then there is no bound to speak of."""
    found = certify(SCORES, [1] * 30, 0.2)
    assert (found.threshold, found.accepted, found.errors, found.limit) == (math.inf, 0, 0, None)
    assert not found.holds
    assert not certify(SCORES[:10], [0] * 10, 0.2).holds


def test_a_gate_is_never_opened() -> None:
    """Tickets that are stopped count among the labelled ones, and are not accepted even where all others are."""
    found = certify([*SCORES, *[-math.inf] * 20], [*losses(30, 5), *[0] * 20], 0.2)
    assert (found.threshold, found.accepted, found.n) == (-math.inf, 30, 50)
    assert certify([-math.inf] * 50, [0] * 50, 0.2).accepted == 0


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_scale_of_scores_do_not_count(rows: list[tuple[int, int]], rng: object) -> None:
    """Only the order of scores does; what is accepted is what has at least the threshold."""
    mixed = rows.copy()
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    one = certify([score for score, _ in rows], [loss for _, loss in rows], 0.3)
    other = certify([math.exp(score) for score, _ in mixed], [loss for _, loss in mixed], 0.3)
    assert (one.accepted, one.errors) == (other.accepted, other.errors)
    assert one.accepted == sum(score >= one.threshold for score, _ in rows)
    assert one.errors == sum(loss for score, loss in rows if score >= one.threshold)
    assert one.accepted == 0 or one.errors <= one.boundary.tolerated(one.accepted)


@pytest.mark.parametrize(
    ("score", "loss", "alpha", "delta", "says"),
    [
        ([], [], 0.1, 0.1, "there are no labelled tickets"),
        ([0.5], [0, 1], 0.1, 0.1, "scores of shape (1,), losses of (2,)"),
        ([[0.5]], [[0]], 0.1, 0.1, "scores of shape (1, 1)"),
        ([math.nan], [0], 0.1, 0.1, "a score is no number"),
        ([math.inf], [0], 0.1, 0.1, "a score is no number"),
        ([0.5], [0.5], 0.1, 0.1, "a loss is neither 0 nor 1"),
        ([0.5], [math.nan], 0.1, 0.1, "a loss is neither 0 nor 1"),
        ([0.5], [0], 0.0, 0.1, "alpha is 0.0"),
        ([0.5], [0], 1, 0.1, "alpha is 1"),
        ([0.5], [0], 0.1, 0, "delta is 0"),
        ([0.5], [0], 0.1, 1.0, "delta is 1.0"),
        ([0.5], [0], 0.1, math.nan, "delta is nan"),
    ],
)
def test_what_cannot_be_certified_is_an_error(
    score: list[float], loss: list[float], alpha: float, delta: float, says: str
) -> None:
    """One line that says what."""
    with pytest.raises(InputError) as caught:
        certify(score, loss, alpha, delta)
    assert says in str(caught.value)


# -- the promise -----------------------------------------------------------------------------------

Risk = Callable[[np.ndarray], np.ndarray]


def piecewise(*pieces: tuple[float, float]) -> Risk:
    """Positions in [0, 1], best first, to the probability of an error; a piece is where it ends and how high it is."""
    ends, heights = np.array([end for end, _ in pieces]), np.array([height for _, height in pieces])
    return lambda place: heights[np.searchsorted(ends, place, side="left").clip(max=len(heights) - 1)]


def saw(alpha: float, pieces: int = 40) -> Risk:
    """Everything wrong, then everything right, again and again; each pair a little over alpha."""
    cuts = [edge for pair in range(pieces // 2) for edge in ((pair + 1.001 * alpha) / (pieces // 2), (pair + 1) / (pieces // 2))]
    return piecewise(*zip(cuts, itertools.cycle((1.0, 0.0)), strict=False))


def worlds(alpha: float) -> dict[str, tuple[Risk, int]]:
    """By name: the risk at each position, and into how many equal scores positions fall; 0: all differ."""
    return {
        "flat, just over alpha": (piecewise((1.0, alpha + 1e-9)), 0),
        "flat, 1.02 alpha": (piecewise((1.0, 1.02 * alpha)), 0),
        "overconfident at the top": (piecewise((0.05, 3 * alpha), (1.0, 0.9 * alpha)), 0),
        "saw": (saw(alpha), 0),
        "bad, good, bad": (piecewise((0.2, 1.1 * alpha), (0.4, 0.5 * alpha), (0.6, 1.6 * alpha), (1.0, 1.02 * alpha)), 0),
        "good, then just bad": (piecewise((0.5, 0.0), (1.0, 2.02 * alpha)), 0),
        "rising": (lambda place: 3 * alpha * place, 0),
        "five scores": (piecewise((1.0, 1.02 * alpha)), 5),
    }


def broken(world: tuple[Risk, int], n: int, alpha: float, *, draws: int, delta: float = 0.1) -> float:
    """The share of samples whose threshold accepts tickets of which more than alpha are wrong."""
    risk, scores = world
    rng = np.random.default_rng(20)
    grid = (np.arange(20_000) + 0.5) / 20_000
    share_wrong = np.cumsum(risk(grid)) / np.arange(1, 20_001)
    failures = 0
    for _ in range(draws):
        place = rng.random(n)
        if scores:
            place = np.ceil(place * scores) / scores
        found = certify(-place, rng.random(n) < risk(place), alpha, delta)
        if found.holds:
            lowest = min(1.0, -found.threshold)
            failures += bool(share_wrong[max(0, math.ceil(lowest * 20_000) - 1)] > alpha)
    return failures / draws


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("name", list(worlds(0.1)))
def test_the_promise_holds_in_every_world(name: str, alpha: float) -> None:
    """Broken by no more samples than the exact worst case, but for chance."""
    draws = 600
    found = broken(worlds(alpha)[name], 200, alpha, draws=draws)
    worst = equal_levels(200, alpha, 0.1).crossing
    assert found <= worst + 3.3 * math.sqrt(worst * (1 - worst) / draws)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_worst_case_is_reached(alpha: float) -> None:
    """So nothing of delta is given away: in the flat world the promise is broken as often as allowed."""
    draws = 1500
    worst = equal_levels(200, alpha, 0.1).crossing
    found = broken(worlds(alpha)["flat, just over alpha"], 200, alpha, draws=draws)
    assert found >= worst - 3.3 * math.sqrt(worst * (1 - worst) / draws)


def uncorrected(n: int, alpha: float, *, level: float | None) -> list[int]:
    """The boundary of a rule that takes no account of looking at every k: the plain one, or one Clopper-Pearson bound a rank."""
    tolerated = [
        max((j for j in range(k + 1) if (j <= alpha * k if level is None else bdtr(j, k, alpha) <= level)), default=-1)
        for k in range(1, n + 1)
    ]
    return [
        tolerated.index(j) + 1 if j in tolerated else next(k for k, most in enumerate(tolerated, 1) if most >= j)
        for j in range(max(tolerated) + 1)
    ]


@pytest.mark.parametrize(
    ("alpha", "plain", "single", "ours"), [(0.05, 0.987, 0.218, 0.091), (0.1, 0.981, 0.281, 0.087), (0.2, 0.973, 0.324, 0.084)]
)
def test_rules_that_take_no_account_of_looking_break_it(alpha: float, plain: float, single: float, ours: float) -> None:
    """Exactly, in a world where every ticket is wrong with 1.02 alpha: no threshold is right, and they find one all the same."""
    n = 200
    assert crossing(uncorrected(n, alpha, level=None), 1.02 * alpha) == pytest.approx(plain, abs=6e-4)
    assert crossing(uncorrected(n, alpha, level=0.1), 1.02 * alpha) == pytest.approx(single, abs=6e-4)
    assert crossing(equal_levels(n, alpha, 0.1).need, 1.02 * alpha) == pytest.approx(ours, abs=6e-4)


def enumerated(blocks: Sequence[tuple[float, float]], tolerated: Sequence[int], n: int, alpha: float) -> float:
    """The probability, summed over all samples, that a bad threshold passes; a block of equal scores is its share and its risk."""
    shares, risks = np.array([share for share, _ in blocks]), np.array([risk for _, risk in blocks])
    bad = np.cumsum(shares * risks) / np.cumsum(shares) > alpha
    cells = [(place, wrong) for place in range(len(blocks)) for wrong in (0, 1)]
    chance = [shares[place] * (risks[place] if wrong else 1 - risks[place]) for place, wrong in cells]
    total = 0.0
    for counts in itertools.product(range(n + 1), repeat=len(cells)):
        if sum(counts) != n:
            continue
        tickets = [counts[2 * place] + counts[2 * place + 1] for place in range(len(blocks))]
        errors = [counts[2 * place + 1] for place in range(len(blocks))]
        passes = any(
            bad[place] and (k := sum(tickets[: place + 1])) and sum(errors[: place + 1]) <= tolerated[k - 1]
            for place in range(len(blocks))
        )
        if passes:
            ways = math.factorial(n) / math.prod(math.factorial(count) for count in counts)
            total += ways * math.prod(p**count for p, count in zip(chance, counts, strict=True))
    return total


@pytest.mark.parametrize("seed", range(6))
def test_no_small_world_breaks_it_whatever_the_boundary(seed: int) -> None:
    """Every sample of up to seven tickets from three blocks; boundaries that jump, fall and look at one rank only."""
    rng = np.random.default_rng(seed)
    for _ in range(3):
        n, alpha = int(rng.integers(3, 8)), float(rng.uniform(0.05, 0.5))
        tolerated = rng.integers(-1, 3, size=n).tolist()
        need = [next(k for k in range(1, n + 1) if max(tolerated[:k]) >= j) for j in range(max(max(tolerated) + 1, 0))]
        flat = crossing(need, alpha)
        for _ in range(4):
            shares = rng.dirichlet(np.ones(3))
            risks = rng.choice([0.0, 1.0, alpha, 1.01 * alpha, float(rng.random())], size=3)
            assert enumerated(list(zip(shares, risks, strict=True)), tolerated, n, alpha) <= flat + 1e-12


# -- what breaks it --------------------------------------------------------------------------------


def test_inside_equal_scores_it_would_be_broken_always() -> None:
    """The right ones first: the first 25 of 50 equal scores say nothing of the others."""
    loss = [0] * 25 + [1] * 25
    assert certify(np.linspace(1, 0, 50), loss, 0.2).accepted >= 25
    assert certify([0.7] * 50, loss, 0.2).accepted == 0


@pytest.mark.slow
def test_labelling_on_until_it_passes_breaks_it() -> None:
    """A look after every 50 labels, each with the whole delta; shared among the looks, it holds."""
    rng, alpha, draws = np.random.default_rng(3), 0.1, 200
    looks = range(50, 501, 50)
    alone = together = 0
    for _ in range(draws):
        score, loss = rng.random(500), rng.random(500) < alpha + 1e-9
        alone += any(certify(score[:n], loss[:n], alpha, 0.1).holds for n in looks)
        together += any(certify(score[:n], loss[:n], alpha, 0.1 / len(looks)).holds for n in looks)
    assert alone / draws > 0.2
    assert together / draws < 0.1 + 3 * math.sqrt(0.09 / draws)


def test_labels_drawn_more_often_among_sure_tickets_break_it() -> None:
    """Three to one for the upper half, which is right; a fair coin for each of them mends it."""
    rng, alpha, n, draws = np.random.default_rng(4), 0.2, 300, 150
    risk = worlds(alpha)["good, then just bad"][0]
    uneven = fair = 0
    for _ in range(draws):
        place = np.where(rng.random(n) < 0.75, rng.random(n) / 2, (1 + rng.random(n)) / 2)
        loss = rng.random(n) < risk(place)
        uneven += certify(-place, loss, alpha).threshold == -math.inf
        kept = (place > 0.5) | (rng.random(n) < 1 / 3)
        fair += certify(-place[kept], loss[kept], alpha).threshold == -math.inf
    assert uneven / draws > 0.9
    assert fair / draws < 0.1


@pytest.mark.parametrize(("n", "alpha"), [(40, 0.2), (60, 0.1), (100, 0.2)])
def test_a_boundary_that_looks_at_the_sample_breaks_it(n: int, alpha: float) -> None:
    """Even at the scores alone, where these tell who is wrong: all of delta goes to the rank that promises most."""
    rng, draws = np.random.default_rng(5), 1000
    cuts = np.array([edge for pair in range(20) for edge in ((pair + 1.001 * alpha) / 20, (pair + 1) / 20)])
    broken = 0
    for _ in range(draws):
        tickets = np.bincount(np.searchsorted(cuts, rng.random(n)), minlength=40)
        k, errors = tickets.cumsum(), np.where(np.arange(40) % 2 == 0, tickets, 0).cumsum()
        broken += bool(bdtr(errors[k > 0], k[k > 0], alpha).min() <= 0.1)
    assert broken / draws > 0.12


# -- what stands on it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "needed"),
    [
        (0.01, (230, 388, 531, 926)),
        (0.02, (114, 194, 265, 462)),
        (0.05, (45, 77, 105, 184)),
        (0.1, (22, 38, 52, 91)),
        (0.2, (11, 18, 25, 45)),
    ],
)
def test_labels_that_any_promise_needs(alpha: float, needed: tuple[int, ...]) -> None:
    """For 0, 1, 2 and 5 errors."""
    assert tuple(labels_needed(alpha, 0.1, errors) for errors in (0, 1, 2, 5)) == needed
    assert needed[0] == math.ceil(math.log(0.1) / math.log1p(-alpha))


def test_fewer_labels_than_needed_accept_nothing_and_as_many_do() -> None:
    """Of the default boundary: with no error at all."""
    fewest = labels_needed(0.1)
    assert not certify([0.5] * (fewest - 1), [0] * (fewest - 1), 0.1).holds
    assert certify([0.5] * fewest, [0] * fewest, 0.1).holds


def test_a_limit_at_a_threshold_that_was_fixed() -> None:
    """The number of people who can read tickets fixes it, for example."""
    assert risk_limit(7, 240, 0.1) == pytest.approx(0.048558, abs=5e-7)
    assert risk_limit(3, 3, 0.1) == 1
    assert risk_limit(0, 22, 0.1) == pytest.approx(1 - 0.1 ** (1 / 22))
    for errors, accepted, delta in ((1, 0, 0.1), (-1, 3, 0.1), (4, 3, 0.1), (1, 3, 1.0)):
        with pytest.raises(InputError, match="limit: "):
            risk_limit(errors, accepted, delta)


def test_what_is_promised_at_a_threshold_that_was_fixed() -> None:
    """One bound, no search; gates stay shut; a threshold that no ticket reaches promises nothing."""
    score, loss = [0.9] * 240 + [0.5] * 20 + [-math.inf] * 5, [1] * 7 + [0] * 233 + [1] * 25
    found = certify_at(score, loss, 0.6, 0.1)
    assert (found.accepted, found.errors, found.threshold) == (240, 7, 0.6)
    assert found.alpha == found.limit == risk_limit(7, 240, 0.1)
    assert certify_at(score, loss, -math.inf, 0.1).accepted == 260
    nothing = certify_at(score, loss, 0.95, 0.1)
    assert (nothing.holds, nothing.alpha, nothing.threshold) == (False, 1.0, math.inf)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.4])
def test_the_bound_at_a_fixed_threshold_fails_as_often_as_delta_allows(rate: float) -> None:
    """In 4,000 samples of tickets that are all wrong so often."""
    rng = np.random.default_rng(11)
    broken = [certify_at(np.ones(150), rng.random(150) < rate, 0.5, 0.1).alpha < rate for _ in range(4000)]
    assert 0.03 < np.mean(broken) <= 0.1 + 3 * math.sqrt(0.09 / 4000)


def test_where_the_wrong_ones_stand() -> None:
    """Best first, of equal ones first; no more than can matter; none behind a gate."""
    found = certify([0.9, 0.8, 0.8, 0.8, 0.7, -math.inf], [0, 0, 1, 0, 1, 1], 0.3, boundary=Boundary((1, 2, 3), 0.1))
    assert found.wrong_at == (2, 5)
    found = certify(np.linspace(1, 0, 200), np.arange(200) % 2, 0.1)
    assert len(found.boundary.need) == 12
    assert found.wrong_at == tuple(range(2, 28, 2))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=30, max_size=60))
def test_the_walk_ends_at_the_errors_that_were_counted(rows: list[tuple[int, int]]) -> None:
    """Errors at or before the accepted rank are those among the accepted."""
    found = certify([score for score, _ in rows], [loss for _, loss in rows], 0.3)
    assert sum(at <= found.accepted for at in found.wrong_at) == found.errors


def test_promises_for_groups_hold_together() -> None:
    """Each has a part of delta; those that could accept nothing anyway spend none."""
    score = [*np.linspace(1, 0, 100), *np.linspace(1, 0, 100), *[0.5] * 5]
    group = ["en"] * 100 + ["zh"] * 100 + ["fr"] * 5
    found = certify_groups(score, [0] * 205, group, 0.1)
    assert list(found) == ["en", "zh", "fr"]
    assert found["en"].delta == found["zh"].delta == pytest.approx(1 - 0.9**0.5)
    assert not found["fr"].holds
    assert found["en"].threshold == found["zh"].threshold == -math.inf
    own = certify_groups(score, [0] * 205, group, {"en": 0.05, "zh": 0.1, "fr": 0.5})
    assert [certificate.alpha for certificate in own.values()] == [0.05, 0.1, 0.5]
    assert own["fr"].delta == pytest.approx(1 - 0.9 ** (1 / 3)) or not own["fr"].holds


@pytest.mark.slow
def test_five_flat_groups_break_one_promise_in_ten() -> None:
    """Not corrected, some of five would be broken in four samples of ten."""
    rng, draws = np.random.default_rng(6), 300
    group = [str(number // 100) for number in range(500)]
    together = alone = 0
    for _ in range(draws):
        score, loss = rng.random(500), rng.random(500) < 0.2 + 1e-9
        together += any(found.holds for found in certify_groups(score, loss, group, 0.2).values())
        alone += any(certify(score[at : at + 100], loss[at : at + 100], 0.2).holds for at in range(0, 500, 100))
    assert together / draws < 0.1 + 3 * math.sqrt(0.09 / draws)
    assert alone / draws > 0.3


def test_groups_need_their_limits() -> None:
    """And as many names as there are scores."""
    with pytest.raises(InputError, match="no alpha for the group 'zh'"):
        certify_groups([0.5, 0.4], [0, 0], ["en", "zh"], {"en": 0.1})
    with pytest.raises(InputError, match="2 scores and 1 groups"):
        certify_groups([0.5, 0.4], [0, 0], ["en"], 0.1)


def test_delta_is_shared() -> None:
    """Independent promises, each with its part, all hold with probability 1 - delta."""
    assert (1 - shared_delta(0.1, 5)) ** 5 == pytest.approx(0.9)
    assert shared_delta(0.1, 1) == pytest.approx(0.1)
    with pytest.raises(InputError, match="0 parts"):
        shared_delta(0.1, 0)


def test_looks_share_delta() -> None:
    """However many there are."""
    assert sum(delta_of_look(0.1, look) for look in range(1, 10_000)) == pytest.approx(0.1, abs=1e-5)
    assert delta_of_look(0.1, None) == 0.1
    with pytest.raises(InputError, match="look 0"):
        delta_of_look(0.1, 0)


def test_another_boundary_may_be_fixed_beforehand() -> None:
    """A single rank: everything or nothing at the 22nd ticket."""
    single = Boundary((22,), crossing([22], 0.1))
    assert certify(np.linspace(1, 0, 40), losses(40, 30), 0.1, boundary=single).accepted == 29
    assert single.tolerated(21) == -1
    assert single.tolerated(22) == 0
