"""More categories than one question takes: which questions there are, and what their answers say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Category, Failure, InputError, Question, Taxonomy
from llmtriage.backends.readings.many import (
    Answer,
    Ask,
    Node,
    Shortlist,
    Steps,
    descent,
    divided,
    narrowed,
    narrowed_question,
    turned,
)
from llmtriage.predictions import Floats, Prediction, Scores, SingleLabel, Usage

Weights = Mapping[str, float]
Tree = Mapping[str, "Tree"] | None


def taxonomy_of(tree: Mapping[str, Tree]) -> Taxonomy:
    """Nested names; "other" is the catch-all."""

    def nodes(level: Mapping[str, Tree]) -> tuple[Category, ...]:
        return tuple(Category(id=name, children=nodes(below or {}), catch_all=name == "other") for name, below in level.items())

    return Taxonomy(categories=nodes(tree))


def leaves(*names: str) -> dict[str, Tree]:
    """A level of leaves."""
    return dict.fromkeys(names)


SHOP = taxonomy_of(
    {
        "sales": {"refund": None, "parcel": leaves("late", "lost", "broken"), "invoice": None},
        "login": None,
        "privacy": leaves("erase", "export"),
        "chain": {"link": leaves("end1", "end2")},
        "single": leaves("alone"),
        "other": None,
    }
)


def asked(root: Node) -> dict[str | None, list[str]]:
    """The questions by the node they are about, with their options."""
    return {node.within: [option.id for option in node.options] for node in root.walk()}


def covered(root: Node) -> None:
    """Every column stands once in each level of the way down."""
    below = sorted(column for columns in root.columns for column in columns)
    assert len(set(below)) == len(below)
    for place, node in root.below.items():
        assert sorted(column for columns in node.columns for column in columns) == sorted(root.columns[place])
        covered(node)


# -- which questions -------------------------------------------------------------------------------


def test_what_fits_is_one_question_about_leaves() -> None:
    """The tree costs a second request, and is left alone."""
    root = divided(SHOP, SHOP.leaves, 12)
    assert asked(root) == {None: [leaf.id for leaf in SHOP.leaves]}
    assert root.columns == tuple((column,) for column in range(12))


def test_what_does_not_fit_is_asked_from_the_top() -> None:
    """A part with one leaf is that leaf, a chain one step, and what fits below is asked flat."""
    root = divided(SHOP, SHOP.leaves, 6)
    assert asked(root) == {
        None: ["sales", "login", "privacy", "chain", "alone", "other"],
        "sales": ["refund", "late", "lost", "broken", "invoice"],
        "privacy": ["erase", "export"],
        "chain": ["end1", "end2"],
    }
    covered(root)
    assert asked(divided(SHOP, SHOP.leaves[:5], 4)) == {
        "sales": ["refund", "parcel", "invoice"],
        "parcel": ["late", "lost", "broken"],
    }


def test_only_the_categories_of_the_question_are_asked_about() -> None:
    """Columns are theirs, in their order."""
    some = (SHOP["lost"], SHOP["other"], SHOP["refund"], SHOP["late"])
    root = divided(SHOP, some, 3)
    assert asked(root) == {None: ["sales", "other"], "sales": ["lost", "refund", "late"]}
    assert root.columns == ((0, 2, 3), (1,))
    assert root.below[0].columns == ((0,), (2,), (3,))


@pytest.mark.parametrize("many", ["all", "shortlist"])
def test_without_the_tree_everything_is_one_question(many: str) -> None:
    """With as many options as there are leaves."""
    assert asked(divided(SHOP, SHOP.leaves, 3, many)) == {None: [leaf.id for leaf in SHOP.leaves]}  # type: ignore[arg-type]


def test_a_level_that_is_too_wide_is_refused_if_only_the_tree_may_be_asked() -> None:
    """With its name; otherwise it is left to a shortlist."""
    assert len(divided(SHOP, SHOP.leaves, 5).options) == 6
    with pytest.raises(InputError, match="the top of the taxonomy has 6 parts, and one question takes 5"):
        divided(SHOP, SHOP.leaves, 5, "tree")
    wide = taxonomy_of({"a": leaves("b", "c", "d", "e"), "f": None})
    with pytest.raises(InputError, match=r"'a' has 4 parts, and one question takes 3; .* allow a shortlist with --many auto"):
        divided(wide, wide.leaves, 3, "tree")
    flat = Taxonomy.from_labels(map(str, range(77)))
    with pytest.raises(InputError, match="the top of the taxonomy has 77 parts"):
        divided(flat, flat.leaves, 20, "tree")
    assert asked(divided(wide, wide.leaves, 4, "tree")) == {None: ["a", "f"], "a": ["b", "c", "d", "e"]}


trees = st.recursive(st.none(), lambda below: st.lists(below, min_size=1, max_size=5), max_leaves=40).filter(bool)


def named(shape: object, name: str = "n") -> dict[str, Tree]:
    """A tree of this shape with names."""
    assert isinstance(shape, list)
    return {f"{name}.{place}": named(below, f"{name}.{place}") if below else None for place, below in enumerate(shape)}


@given(trees, st.integers(2, 8))
def test_any_tree_is_divided_into_questions_that_reach_every_leaf_once(shape: object, most: int) -> None:
    """No question has a single option, and one is wider than allowed only where the tree itself is."""
    taxonomy = taxonomy_of(named(shape))
    root = divided(taxonomy, taxonomy.leaves, most)
    covered(root)
    ends = [
        column
        for node in root.walk()
        for place, columns in enumerate(node.columns)
        if place not in node.below
        for column in columns
    ]
    assert sorted(ends) == list(range(len(taxonomy.leaves)))
    for node in root.walk():
        assert len(node.options) > 1 or len(taxonomy.leaves) == 1
        parts = taxonomy.categories if node.within is None else taxonomy[node.within].children
        assert len(node.options) <= max(most, len(parts))


# -- asking ----------------------------------------------------------------------------------------


class Model:
    """Answers by fixed weights of leaves; an inner node has those of its leaves together."""

    def __init__(self, weights: Weights, *, mass: float | None = 0.9, fails: str | None = None, pull: float = 0.0) -> None:
        self.weights, self.mass, self.fails, self.pull = weights, mass, fails, pull
        self.rounds: list[list[Ask]] = []

    def run(self, steps: Steps) -> Answer:
        """The end of the steps."""
        try:
            asks = next(steps)
            while True:
                self.rounds.append(list(asks))
                asks = steps.send([self.answer(ask) for ask in asks])
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    def answer(self, ask: Ask) -> Answer:
        """One prediction, of 10 tokens and one second."""
        usage = Usage(prompt_tokens=10, output_tokens=1)
        names = [category.id for category in ask.categories]
        if self.fails in names:
            return Failure(reason="refused", detail="no", usage=usage, seconds=1.0)
        shares = np.array([self.weight(category) for category in ask.categories])
        shares[ask.turn[0] % len(shares)] *= math.exp(self.pull)  # the code that stands there
        scores = Scores(values=np.log(shares / shares.sum()), missing=np.zeros(len(shares), np.bool_), label_mass=self.mass)
        return Prediction(answer=scores, source="logprobs", model="m", usage=usage, seconds=1.0, read={"codes": "letters"})

    def weight(self, category: Category) -> float:
        """The weights of all leaves below together."""
        return sum(self.weights.get(node.id, 0.001) for node in category.walk() if not node.children)

    @property
    def within(self) -> list[list[str | None]]:
        """What was asked at once."""
        return [[ask.within for ask in asks] for asks in self.rounds]


def scored(answer: Answer) -> Scores:
    """The scores of an answer, which is a distribution."""
    assert isinstance(answer, Prediction)
    assert isinstance(answer.answer, Scores)
    assert np.isfinite(answer.answer.values).all()
    assert np.exp(answer.answer.values).sum() == pytest.approx(1)
    return answer.answer


def unseen(scores: Scores, taxonomy: Taxonomy = SHOP) -> set[str]:
    """The categories of which nothing was seen."""
    assert scores.missing is not None
    return {leaf.id for leaf, flag in zip(taxonomy.leaves, scores.missing, strict=True) if flag}


@given(trees, st.integers(2, 8), st.integers(0, 999))
def test_asking_everything_gives_the_leaves_themselves(shape: object, most: int, seed: int) -> None:
    """Probabilities multiply along every path: whatever the tree, the result is the same as in one question."""
    taxonomy = taxonomy_of(named(shape))
    shares = np.random.default_rng(seed).dirichlet(np.full(len(taxonomy.leaves), 50.0))
    model = Model(dict(zip((leaf.id for leaf in taxonomy.leaves), shares, strict=True)), mass=1.0)
    root = divided(taxonomy, taxonomy.leaves, most)
    found = scored(model.run(descent(root, "x", most=most)))
    seen = ~found.missing if found.missing is not None else np.zeros(0)
    assert np.exp(found.values)[seen] == pytest.approx(shares[seen])
    assert found.label_mass == pytest.approx(1)
    if all(model.weight(option) >= 0.02 for node in root.walk() for option in node.options):
        assert seen.all()


def test_what_is_not_likely_is_not_asked_about_and_shared_equally() -> None:
    """Its leaves count as missing; questions of one level are asked at once."""
    model = Model({"refund": 0.5, "lost": 0.2, "erase": 0.2, "export": 0.09, "end1": 0.006, "end2": 0.002})
    answer = model.run(descent(divided(SHOP, SHOP.leaves, 6), "x", most=6))
    found = scored(answer)
    assert model.within == [[None], ["sales", "privacy"]]
    assert unseen(found) == {"end1", "end2"}
    shares = dict(zip((leaf.id for leaf in SHOP.leaves), np.exp(found.values), strict=True))
    total = 0.5 + 0.2 + 0.2 + 0.09 + 0.008 + 6 * 0.001
    assert shares["end1"] == shares["end2"] == pytest.approx(0.004 / total)
    assert shares["lost"] == pytest.approx(0.2 / total)
    assert shares["export"] == pytest.approx(0.09 / total)


def test_the_most_likely_part_is_always_asked_about() -> None:
    """However many parts share what there is."""
    wide = taxonomy_of({f"p{i}": leaves(f"p{i}a", f"p{i}b") for i in range(100)})
    weights = {f"p{i}{letter}": 0.005 for i in range(100) for letter in "ab"}
    model = Model({**weights, "p7a": 0.006})
    found = scored(model.run(descent(divided(wide, wide.leaves, 100), "x", most=100)))
    assert model.within == [[None], ["p7"]]
    assert int(found.values.argmax()) == 14


def test_what_it_took_is_summed_and_levels_take_as_long_as_their_slowest() -> None:
    """The words of the engine are kept, and the mass is that of the whole path."""
    model = Model({"refund": 0.5, "erase": 0.5, "login": 1.0}, mass=0.9)
    answer = model.run(descent(divided(SHOP, SHOP.leaves, 6), "x", most=6))
    assert isinstance(answer, Prediction)
    assert (answer.usage, answer.seconds) == (Usage(prompt_tokens=30, output_tokens=3, attempts=3), 2.0)
    assert (answer.source, answer.model, answer.read) == ("logprobs", "m", {"codes": "letters"})
    found = scored(answer)
    assert found.label_mass == pytest.approx(0.9 * (0.9 * 1.0 + 0.1 * 0 + 1.0) / 2, rel=0.01)


def test_a_mass_that_nobody_tells_is_none() -> None:
    """Not zero, and not that of the other questions."""
    model = Model({"refund": 1.0}, mass=None)
    assert scored(model.run(descent(divided(SHOP, SHOP.leaves, 6), "x", most=6))).label_mass is None


@pytest.mark.parametrize(("fails", "requests", "seconds"), [("login", 1, 1.0), ("erase", 3, 2.0)])
def test_a_failure_anywhere_ends_it_with_all_that_was_used(fails: str, requests: int, seconds: float) -> None:
    """Half of an answer is none."""
    model = Model({"refund": 1.0, "erase": 1.0}, fails=fails)
    answer = model.run(descent(divided(SHOP, SHOP.leaves, 6), "x", most=6))
    usage = Usage(prompt_tokens=10 * requests, output_tokens=requests, attempts=requests)
    assert answer == Failure(reason="refused", detail="no", usage=usage, seconds=seconds)


def test_unseen_options_of_a_question_are_missing_with_all_their_leaves() -> None:
    """And are not asked about, however much their bound leaves them."""
    root = divided(SHOP, SHOP.leaves, 6)
    steps = descent(root, "x", most=6)
    next(steps)
    shares = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    scores = Scores(values=np.log(shares), missing=np.array([True, False, False, True, False, False]), label_mass=1.0)
    (ask,) = steps.send([Prediction(answer=scores, source="logprobs", model="m")])
    assert ask.within == "privacy"
    with pytest.raises(StopIteration) as end:
        steps.send([Prediction(answer=Scores(values=np.log(np.array([0.5, 0.5]))), source="logprobs", model="m")])
    assert unseen(scored(end.value.value)) == {"refund", "late", "lost", "broken", "invoice", "end1", "end2"}


# -- shortlists ------------------------------------------------------------------------------------


def fixed(weights: Weights, taxonomy: Taxonomy) -> Callable[[str], Floats]:
    """The same weights for every text."""
    return lambda text: np.array([weights.get(leaf.id, 0.001) for leaf in taxonomy.leaves])


FLAT = Taxonomy(categories=tuple(Category(id=name, catch_all=name == "other") for name in ("a", "b", "c", "d", "e", "other")))
HEAVY = fixed({"d": 0.5, "b": 0.3, "e": 0.1, "a": 0.06, "c": 0.04}, FLAT)


def test_a_shortlist_keeps_the_heaviest_and_the_catch_all_in_their_order() -> None:
    """The prompt shows categories in file order; "none of these" is always an answer."""
    root = divided(FLAT, FLAT.leaves, 3)
    kept, shares = narrowed(root, HEAVY("x"), 3)
    assert kept == [1, 3, 5]
    assert shares == pytest.approx(HEAVY("x") / HEAVY("x").sum())
    assert narrowed(root, HEAVY("x") + np.eye(6)[5], 3)[0] == [1, 3, 5]


def test_a_shortlist_of_parts_keeps_the_one_that_holds_the_catch_all() -> None:
    """It could not be reached otherwise."""
    tree = taxonomy_of({"p": leaves("a", "b"), "q": leaves("c", "d"), "r": leaves("e", "f"), "s": leaves("g", "other")})
    root = divided(tree, tree.leaves, 3)
    weights = fixed({"a": 0.1, "b": 0.1, "c": 0.15, "e": 0.3}, tree)("x")
    assert narrowed(root, weights, 3)[0] == [0, 2, 3]
    assert narrowed(root, weights, 2)[0] == [2, 3]


@pytest.mark.parametrize(("left_out", "share"), [(0.1, 0.1), (None, 0.2), (0.0, 1e-6), (1.0, 1 - 1e-6)])
def test_what_a_shortlist_leaves_out_keeps_its_share_and_is_missing(left_out: float | None, share: float) -> None:
    """As measured, or where nothing was, as the weights have it; divided by these; never nothing and never all."""
    model = Model({"d": 0.6, "b": 0.3, "other": 0.1})
    steps = descent(divided(FLAT, FLAT.leaves, 3), "x", most=3, shortlist=Shortlist(HEAVY, left_out))
    found = scored(model.run(steps))
    assert [category.id for category in model.rounds[0][0].categories] == ["b", "d", "other"]
    assert unseen(found, FLAT) == {"a", "c", "e"}
    a, b, c, d, e, other = np.exp(found.values)
    assert a + c + e == pytest.approx(share, rel=0.01)
    assert (a / e, c / e) == pytest.approx((0.6, 0.4))
    assert (b / d, other / d) == pytest.approx((0.5, 1 / 6))
    assert found.label_mass == pytest.approx(0.9)


def test_a_shortlist_weighs_the_categories_of_the_question_in_their_order() -> None:
    """Some of them, in another order; one that it does not know is the last to be asked about."""
    shortlist = Shortlist(HEAVY, ids=tuple(leaf.id for leaf in FLAT.leaves))
    assert shortlist.among(FLAT.leaves) is shortlist
    categories = (Category(id="new"), *(FLAT[name] for name in ("e", "d", "c", "b")))
    assert shortlist.among(categories).weights("x") == pytest.approx([0, 0.1, 0.5, 0.04, 0.3])
    question = narrowed_question(Question(text="x", categories=categories), divided(FLAT, categories, 2), 2, shortlist)
    assert [category.id for category in question.question.categories] == ["d", "b"]


def test_weights_too_small_for_a_number_are_no_zero() -> None:
    """Their logarithm would be minus infinity."""
    weights = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    model = Model({})
    found = scored(model.run(descent(divided(FLAT, FLAT.leaves, 3), "x", most=3, shortlist=Shortlist(lambda text: weights))))
    assert np.exp(found.values[[0, 2, 4]]) == pytest.approx([1e-6 / 3] * 3, rel=1e-4)


def test_a_shortlist_is_used_only_where_a_question_is_too_wide() -> None:
    """Each level by itself."""
    tree = taxonomy_of({"p": leaves("a", "b", "c", "d"), "q": leaves("e", "f")})
    model = Model({"b": 1.0, "c": 1.0, "f": 1.0})
    shortlist = Shortlist(fixed({"b": 1.0, "c": 1.0}, tree), 0.1)
    found = scored(model.run(descent(divided(tree, tree.leaves, 3), "x", most=3, shortlist=shortlist)))
    assert [[category.id for category in ask.categories] for ask in model.rounds[1]] == [["a", "b", "c"], ["e", "f"]]
    assert unseen(found, tree) == {"d"}
    assert np.exp(found.values[3]) == pytest.approx(0.1 * 2 / 3, rel=0.01)


def test_where_every_question_fits_nothing_is_weighed() -> None:
    """It would take seconds."""
    shortlist = Shortlist(lambda text: pytest.fail("weighed"))
    scored(Model({"d": 1.0}).run(descent(divided(FLAT, FLAT.leaves, 6), "x", most=6, shortlist=shortlist)))


def test_without_a_shortlist_a_wide_question_is_asked_whole() -> None:
    """As "all" has it."""
    model = Model({"d": 1.0})
    assert unseen(scored(model.run(descent(divided(FLAT, FLAT.leaves, 3, "all"), "x", most=3))), FLAT) == set()


@pytest.mark.parametrize("missing", [None, np.array([False, True, False])])
def test_a_question_that_was_narrowed_finds_its_way_back(missing: np.ndarray[tuple[int], np.dtype[np.bool_]] | None) -> None:
    """For engines that ask in one request of their own; what the answer did not see stays missing."""
    question = Question(text="x", categories=FLAT.leaves)
    short = narrowed_question(question, divided(FLAT, FLAT.leaves, 3, "shortlist"), 3, Shortlist(HEAVY, 0.1))
    assert [category.id for category in short.question.categories] == ["b", "d", "other"]
    scores = Scores(values=np.log(np.array([0.2, 0.5, 0.3])), missing=missing, label_mass=0.7)
    whole = scored(short.whole(Prediction(answer=scores, source="decisions", model="m")))
    assert np.exp(whole.values) == pytest.approx([0.03, 0.18, 0.02, 0.45, 0.05, 0.27], rel=0.01)
    assert unseen(whole, FLAT) == ({"a", "c", "e"} if missing is None else {"a", "c", "e", "d"})
    assert whole.label_mass == 0.7


def test_a_question_that_fits_is_left_alone() -> None:
    """Answers too, and those that are no distribution."""
    question = Question(text="x", categories=FLAT.leaves)
    whole = narrowed_question(question, divided(FLAT, FLAT.leaves, 6), 6, None)
    assert whole.question == question
    scores = Scores(values=np.log(np.full(6, 1 / 6)))
    assert scored(whole.whole(Prediction(answer=scores, source="decisions", model="m"))).values is scores.values
    single = Prediction(answer=SingleLabel(category="a"), source="verbalized", model="m")
    assert whole.whole(single) is single


# -- turns -----------------------------------------------------------------------------------------

PAIR = taxonomy_of(leaves("a", "b"))


def by_turns(model: Model, turns: int, between: tuple[float, float] | None = None) -> Answer:
    """Both categories of a pair, asked in turns."""
    root = divided(PAIR, PAIR.leaves, 2)
    return model.run(turned(lambda turn: descent(root, "x", most=2, turn=turn), turns, between))


def test_the_mean_over_turns_takes_away_a_pull_of_the_codes() -> None:
    """A model that doubles the odds of what has the first code says one half of two equal categories."""
    model = Model({"a": 1.0, "b": 1.0}, pull=math.log(2))
    assert np.exp(scored(by_turns(model, 1)).values) == pytest.approx([2 / 3, 1 / 3])
    answer = by_turns(model, 2)
    assert np.exp(scored(answer).values) == pytest.approx([0.5, 0.5])
    assert [ask.turn for asks in model.rounds[1:] for ask in asks] == [(0, 2), (1, 2)]
    assert isinstance(answer, Prediction)
    assert (answer.usage.attempts, answer.seconds, answer.model) == (2, 2.0, "m")
    assert scored(answer).label_mass == pytest.approx(0.9)


@pytest.mark.parametrize(("between", "requests"), [((0.6, 0.7), 2), ((0.7, 0.9), 1), ((0.1, 0.6), 1), (None, 2)])
def test_only_tickets_near_the_threshold_are_asked_again(between: tuple[float, float] | None, requests: int) -> None:
    """By their largest probability with the first assignment, here two thirds."""
    model = Model({"a": 2.0, "b": 1.0})
    answer = by_turns(model, 2, between)
    assert len(model.rounds) == requests
    assert isinstance(answer, Prediction)
    assert answer.usage.attempts == requests


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_in_any_turn_ends_it_with_all_that_was_used(failing: int) -> None:
    """What came before it would be another reading than that of the other tickets."""
    model = Model({"a": 1.0, "b": 1.0})

    def make(turn: tuple[int, int]) -> Steps:
        model.fails = "a" if turn[0] == failing else None
        return descent(divided(PAIR, PAIR.leaves, 2), "x", most=2, turn=turn)

    answer = model.run(turned(make, 3, None))
    count = failing + 1
    usage = Usage(prompt_tokens=10 * count, output_tokens=count, attempts=count)
    assert answer == Failure(reason="refused", detail="no", usage=usage, seconds=float(count))


def test_what_one_turn_did_not_see_is_missing() -> None:
    """The mean holds a bound then; a mass that only some tell is theirs."""
    masks: Sequence[tuple[np.ndarray[tuple[int], np.dtype[np.bool_]] | None, float | None]] = [
        (np.array([False, True]), 0.5),
        (None, None),
    ]

    def make(turn: tuple[int, int]) -> Steps:
        yield [Ask(PAIR.leaves, None, turn)]
        missing, mass = masks[turn[0]]
        scores = Scores(values=np.log(np.array([0.75, 0.25])), missing=missing, label_mass=mass)
        return Prediction(answer=scores, source="logprobs", model="m")

    found = scored(Model({}).run(turned(make, 2, None)))
    assert unseen(found, PAIR) == {"b"}
    assert found.label_mass == 0.5
