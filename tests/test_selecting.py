"""Which examples stand in a prompt: laws of the choice, the budget, and the way of the examples into the prompt."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage import Example, InputError, Question, Taxonomy, Triage, UnknownNameError
from llmtriage.duplicates import near_duplicate_groups, near_duplicate_table
from llmtriage.examples import for_prompt
from llmtriage.nearest import Nearest
from llmtriage.prompting import estimated_tokens
from llmtriage.protocols import Selector
from llmtriage.selecting import Selection, SelectorName, Static, example_tokens
from llmtriage.testing import Answer, ScriptedBackend

WORDS = (
    "refund",
    "parcel",
    "login",
    "late",
    "broken",
    "my",
    "order",
    "123",
    "退款",
    "快递",
    "没到",
    "密码",
    "登录",
    "the",
    "please",
)
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
EXAMPLES = st.lists(st.builds(Example, text=TEXTS, category=st.sampled_from(["refund", "parcel", "login"])), max_size=25)


def example(text: str, category: str = "refund") -> Example:
    """An example in few signs."""
    return Example(text=text, category=category)


def are_near(one: str, other: str) -> bool:
    """By the definition of `llmtriage.duplicates`."""
    return len(set(near_duplicate_groups([one, other]))) == 1


class Reader(ScriptedBackend):
    """An engine that reads prompts; keeps the questions."""

    reads_prompts = True

    def __init__(self) -> None:
        """Answer every question with the first category."""
        self.questions: list[Question] = []
        super().__init__(self._keep)

    def _keep(self, question: Question) -> Answer:
        self.questions.append(question)
        return question.categories[0].id


class Fixed:
    """A selector that always gives the same and counts how often it is asked."""

    def __init__(self, *examples: Example) -> None:
        """Keep the examples."""
        self.examples = examples
        self.asked: list[str] = []
        self.threads: set[str] = set()

    def fingerprint(self) -> Mapping[str, str]:
        """A name."""
        return {"selector": "fixed"}

    def examples_for(self, text: str) -> tuple[Example, ...]:
        """The same for every ticket."""
        self.asked.append(text)
        self.threads.add(threading.current_thread().name)
        return self.examples


# -- the laws of nearest ------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40)
@given(EXAMPLES, TEXTS, st.integers(1, 6))
def test_nearest_never_shows_the_ticket_or_two_of_a_kind(examples: list[Example], ticket: str, k: int) -> None:
    """Nor a near-duplicate of the ticket, nor more than two of a category, nor more than asked for, nor anything invented."""
    chosen = Nearest(examples, k).examples_for(ticket)
    assert len(chosen) <= k
    assert set(chosen) <= set(examples)
    assert not any(are_near(ticket, one.text) for one in chosen)
    assert not any(are_near(one.text, other.text) for one, other in combinations(chosen, 2))
    assert max(Counter(one.category for one in chosen).values(), default=0) <= 2


@pytest.mark.slow
@settings(max_examples=40)
@given(EXAMPLES, TEXTS, st.permutations(range(25)))
def test_nearest_does_not_depend_on_the_order_of_the_examples(examples: list[Example], ticket: str, order: list[int]) -> None:
    """Nor does its fingerprint; asked twice it answers the same."""
    shuffled = [examples[i] for i in order if i < len(examples)]
    one, other = Nearest(examples), Nearest(shuffled)
    assert one.examples_for(ticket) == other.examples_for(ticket) == one.examples_for(ticket)
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.slow
@settings(max_examples=40)
@given(EXAMPLES, TEXTS)
def test_fewer_are_the_nearest_of_more(examples: list[Example], ticket: str) -> None:
    """The nearest stands last: what is chosen for k = 2 is the end of what is chosen for k = 4."""
    two, four = (Nearest(examples, k).examples_for(ticket) for k in (2, 4))
    assert two == four[len(four) - len(two) :]
    assert len(two) == min(2, len(four))


@pytest.mark.slow
@settings(max_examples=40)
@given(EXAMPLES, EXAMPLES, TEXTS)
def test_nearest_shows_nothing_near_to_what_is_shown_anyway(examples: list[Example], shown: list[Example], ticket: str) -> None:
    """Neither the shared examples nor their near-duplicates."""
    chosen = Nearest([*examples, *shown], shown=shown).examples_for(ticket)
    assert not any(are_near(one.text, other.text) for one in chosen for other in shown)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_the_table_of_near_duplicates_agrees_with_the_groups(texts: list[str]) -> None:
    """For every pair."""
    table = near_duplicate_table(texts)
    assert all(table[i, j] == are_near(texts[i], texts[j]) for i in range(len(texts)) for j in range(len(texts)))


def test_the_nearest_stands_last() -> None:
    """The one that shares most with the ticket directly before it; what shares nothing is not shown."""
    far, near, none = (
        example("refund for a lamp I sent back", "refund"),
        example("parcel is late again", "parcel"),
        example("退货", "other"),
    )
    assert Nearest([none, near, far]).examples_for("my parcel is late, where is it? no refund please") == (far, near)


def test_nearest_works_in_chinese() -> None:
    """Without spaces between words; a copy with other numbers is a near-duplicate."""
    examples = [
        example("订单 123 的快递还没有到，什么时候能到", "parcel"),
        example("我的快递怎么还没到", "parcel"),
        example("快递丢了，没有收到", "parcel"),
        example("退款还没有到账", "refund"),
        example("忘记密码，登录不了", "login"),
    ]
    chosen = Nearest(examples).examples_for("订单 98765 的快递还没有到，什么时候能到？")
    assert [one.text for one in chosen] == ["快递丢了，没有收到", "退款还没有到账", "我的快递怎么还没到"]


def test_numbers_do_not_make_tickets_alike() -> None:
    """Two order numbers that begin alike say nothing."""
    chosen = Nearest([example("test 123456"), example("快递到哪里了", "parcel")]).examples_for("快递还没到 123457")
    assert chosen[-1].category == "parcel"


def test_near_duplicates_with_several_categories_stand_under_the_most_frequent_one() -> None:
    """One wrong label among three is outvoted."""
    examples = [example("where is order 1?", "a"), example("where is order 2?", "b"), example("where is order 3?", "b")]
    [chosen] = Nearest(examples).examples_for("where is it, the thing")
    assert chosen.category == "b"


def test_more_than_a_handful_of_one_category_hides_no_other() -> None:
    """The third of a category is passed over however many come before the first of another."""
    many = [example(f"parcel late {'abcdefghijklmnopqrstuvwxyz'[i] * 9} number", "parcel") for i in range(26)]
    chosen = Nearest([*many, example("refund of a late fee, please", "refund")]).examples_for("parcel late")
    assert [one.category for one in chosen] == ["refund", "parcel", "parcel"]


def test_nothing_to_choose_from() -> None:
    """No examples, an empty ticket, a ticket of signs alone, a ticket of a size that nobody writes."""
    assert Nearest([]).examples_for("a text") == ()
    one = Nearest([example("a text about a parcel")])
    assert one.examples_for("") == one.examples_for("?!") == ()
    assert one.examples_for("parcel " * 50_000) == (example("a text about a parcel"),)


def test_nearest_needs_at_least_one() -> None:
    """Zero is what static is for."""
    with pytest.raises(InputError, match=r"nearest: 0 is below 1; give 1 or more, or choose the selector static"):
        Nearest([], 0)


def test_nearest_may_be_asked_from_several_threads() -> None:
    """It is fitted once."""
    one = Nearest([example(f"parcel {name}") for name in ("london", "paris", "rome")])
    answers: list[tuple[Example, ...]] = []
    threads = [threading.Thread(target=lambda: answers.append(one.examples_for("parcel to rome"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1


def test_both_are_selectors() -> None:
    """By the protocol."""
    assert isinstance(Static(), Selector)
    assert isinstance(Nearest([]), Selector)


# -- the budget ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(EXAMPLES, TEXTS, st.integers(0, 400), st.integers(0, 10), st.sampled_from(["static", "nearest"]))
def test_the_budget_is_kept(examples: list[Example], ticket: str, tokens: int, most: int, selector: SelectorName) -> None:
    """By the shared block and the examples of the ticket together."""
    selection = Selection(examples, selector, most=most, tokens=tokens)
    assert sum(map(example_tokens, [*selection.shared, *selection.for_ticket(ticket)])) <= tokens


@settings(max_examples=40)
@given(EXAMPLES, st.integers(0, 400), st.integers(0, 10))
def test_the_shared_block_is_as_large_as_fits(examples: list[Example], tokens: int, most: int) -> None:
    """Of the examples that fit at all, one more in the balanced draw would not fit."""
    shared = Selection(examples, most=most, tokens=tokens).shared
    fitting = [one for one in examples if example_tokens(one) <= tokens]
    assert shared == for_prompt(fitting, len(shared))
    more = for_prompt(fitting, min(most, len(shared) + 1))
    assert len(more) == len(shared) or sum(map(example_tokens, more)) > tokens


@pytest.mark.slow
@settings(max_examples=40)
@given(EXAMPLES, TEXTS, st.integers(0, 5))
def test_without_a_limit_nothing_is_left_out(examples: list[Example], ticket: str, most: int) -> None:
    """A budget that is large enough is no limit either."""
    free, wide = (Selection(examples, "nearest", most=most, tokens=tokens) for tokens in (None, 1_000_000))
    assert free.shared == wide.shared == for_prompt(examples, most)
    assert free.for_ticket(ticket) == wide.for_ticket(ticket) == Nearest(examples, shown=free.shared).examples_for(ticket)


@settings(max_examples=40)
@given(EXAMPLES, st.integers(0, 400))
def test_the_farthest_is_dropped_first(chosen: list[Example], tokens: int) -> None:
    """What is left is the end of those that fit by themselves, and one more would be too much."""
    kept = Selection([], Fixed(*chosen), most=0, tokens=tokens).for_ticket("a text")
    fitting = tuple(one for one in chosen if example_tokens(one) <= tokens)
    assert kept == fitting[len(fitting) - len(kept) :]
    assert len(kept) == len(fitting) or sum(map(example_tokens, fitting[-len(kept) - 1 :])) > tokens


def test_one_too_long_is_passed_over() -> None:
    """And does not drive out the others."""
    short, long = example("parcel late", "parcel"), example("parcel " * 500, "refund")
    assert Selection([], Fixed(short, long), most=0, tokens=50).for_ticket("parcel") == (short,)
    assert Selection([long, short], most=2, tokens=50).shared == (short,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selector": "neerest"}, "selector: unknown selector 'neerest'; did you mean 'nearest'?"),
        ({"nearest": 0}, "nearest: 0 is below 1; give 1 or more, or choose the selector static"),
        ({"tokens": -1}, "example_tokens: -1 is negative; give 0 or more tokens"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(options: dict[str, object], message: str) -> None:
    """In one line."""
    with pytest.raises(InputError) as raised:
        Selection([], most=0, **options)  # type: ignore[arg-type]
    assert str(raised.value) == message


# -- in a Triage --------------------------------------------------------------------------------


EXAMPLES_OF_SHOP = tuple(
    example(text, category)
    for text, category in [
        ("I want my money back for the lamp", "refund"),
        ("refund of the shipping fee please", "refund"),
        ("the parcel never arrived here", "parcel"),
        ("where is my parcel now", "parcel"),
        ("cannot log in with my password", "login"),
        ("快递到哪里了", "parcel"),
    ]
)


def test_shared_examples_come_before_those_of_the_ticket_and_the_ticket_is_last(shop: Taxonomy) -> None:
    """In the messages that are sent: system with the shared block, user with the nearest last and then the ticket."""
    triage = Triage(taxonomy=shop, backend="openai:m", examples=EXAMPLES_OF_SHOP, prompt_examples=2, selector="nearest")
    question = triage.question("the parcel is not here, where did it go")
    messages = triage.prompt.render(question)
    for shared in triage.prompt.examples:
        assert shared.text in messages.system
        assert shared.text not in messages.user
    places = [messages.user.index(one.text) for one in (*question.examples, example(question.text))]
    assert places == sorted(places)
    assert question.examples
    assert question.examples[-1].category == "parcel"
    assert messages.user.rstrip().endswith(">")
    assert messages.user.rindex("<ticket-") < places[-1]


def test_the_engine_is_asked_with_the_examples_of_each_ticket(shop: Taxonomy) -> None:
    """Each with its own, in the order of the tickets; chosen beside the loop."""
    reader, selector = Reader(), Fixed(*EXAMPLES_OF_SHOP[:2])
    triage = Triage(taxonomy=shop, backend=reader, examples=EXAMPLES_OF_SHOP, prompt_examples=0, selector=selector)
    list(triage.classify_many(["first text", "", "second text"]))
    assert [question.text for question in reader.questions] == selector.asked == ["first text", "second text"]
    assert {question.examples for question in reader.questions} == {EXAMPLES_OF_SHOP[:2]}
    assert not any("llmtriage" in name for name in selector.threads)


def test_what_stands_in_the_shared_block_is_not_shown_twice(shop: Taxonomy) -> None:
    """Whatever a selector gives."""
    reader = Reader()
    triage = Triage(
        taxonomy=shop, backend=reader, examples=EXAMPLES_OF_SHOP, prompt_examples=3, selector=Fixed(*EXAMPLES_OF_SHOP)
    )
    triage.classify("a text")
    assert set(reader.questions[0].examples) == set(EXAMPLES_OF_SHOP) - set(triage.selection.shared)


def test_static_gives_a_ticket_nothing_of_its_own(shop: Taxonomy) -> None:
    """As before."""
    reader = Reader()
    Triage(taxonomy=shop, backend=reader, examples=EXAMPLES_OF_SHOP).classify("where is my parcel")
    assert reader.questions[0].examples == ()


def test_for_an_engine_that_reads_no_prompts_nothing_is_chosen(shop: Taxonomy) -> None:
    """And its run is the same whatever the selector."""
    selector = Fixed(*EXAMPLES_OF_SHOP)
    plain = Triage(taxonomy=shop, examples=EXAMPLES_OF_SHOP)
    other = Triage(taxonomy=shop, examples=EXAMPLES_OF_SHOP, selector=selector, nearest=2, example_tokens=9)
    assert other.classify("where is my parcel").score == plain.classify("where is my parcel").score
    assert selector.asked == []
    assert plain.run_id == other.run_id
    assert not any(key.startswith("select.") for key in plain.fingerprint())


@pytest.mark.usefixtures("by_json")
def test_every_setting_of_the_choice_is_part_of_the_run(shop: Taxonomy) -> None:
    """Selector, number, budget, shared block and examples chosen from."""

    def run(**options: Any) -> str:
        return Triage(
            **{"taxonomy": shop, "backend": "openai:m", "examples": EXAMPLES_OF_SHOP, "prompt_examples": 1, **options}
        ).run_id

    near = {"selector": "nearest"}
    runs = [
        run(),
        run(**near),
        run(**near, nearest=2),
        run(**near, example_tokens=500),
        run(**near, prompt_examples=2),
        run(**near, examples=EXAMPLES_OF_SHOP[:-1]),
        run(selector=Fixed()),
    ]
    assert len(set(runs)) == len(runs)
    assert run(**near) == run(**near)


def test_a_selector_that_fails_ends_the_run(shop: Taxonomy) -> None:
    """With its own exception; nothing waits for ever."""

    class Broken(Fixed):
        def examples_for(self, text: str) -> tuple[Example, ...]:  # noqa: ARG002
            raise UnknownNameError("no such store")

    with pytest.raises(UnknownNameError, match="no such store"):
        Triage(taxonomy=shop, backend=Reader(), selector=Broken()).classify("a text")


def test_the_cost_of_an_example_is_that_of_what_is_shown(shop: Taxonomy) -> None:
    """In English and in Chinese: a prompt with one example more has at least so many tokens more, and not many more."""
    for language in ("en", "zh"):
        prompt = Triage(taxonomy=shop, language=language).prompt
        alone = estimated_tokens(prompt.render(Question(text="t", categories=shop.leaves)).user)
        for one in EXAMPLES_OF_SHOP:
            user = prompt.render(Question(text="t", categories=shop.leaves, examples=(one,))).user
            assert 0 <= estimated_tokens(user) - alone - example_tokens(one) <= 14
