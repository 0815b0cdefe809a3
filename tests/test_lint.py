"""Each lint rule finds what it is for, and the sample has no finding."""

from __future__ import annotations

import pytest

from llmtriage import Category, Taxonomy
from llmtriage.lint import RULES, lint

A, B = Category(id="a", description="Money that comes back"), Category(id="b", description="Parcels on their way")
REST = Category(id="rest", description="Anything else", catch_all=True)


def codes(*categories: Category) -> list[str]:
    """The codes found in a taxonomy of `categories`."""
    return [finding.code for finding in lint(Taxonomy(categories=categories))]


@pytest.mark.parametrize(
    ("code", "categories"),
    [
        pytest.param("T001", (A, B, REST, Category(id="A ".strip(), description="Other things")), id="ids by case"),
        pytest.param("T002", (A.model_copy(update={"name": "X"}), B.model_copy(update={"name": {"zh": "x"}}), REST), id="names"),
        pytest.param("T003", (A, Category(id="c", description="money  that COMES back"), REST), id="same description"),
        pytest.param(
            "T004", (A.model_copy(update={"examples": ("Hi",)}), B.model_copy(update={"examples": ("hi",)}), REST), id="example"
        ),
        pytest.param(
            "T005",
            (A.model_copy(update={"includes": ("late",)}), B.model_copy(update={"includes": ("Late",)}), REST),
            id="include",
        ),
        pytest.param("T006", (A.model_copy(update={"includes": ("迟到",), "excludes": ("迟到",)}), B, REST), id="contradiction"),
        pytest.param("T101", (A, Category(id="c"), REST), id="no description"),
        pytest.param("T102", (A, Category(id="c", description="Money that comes back."), REST), id="near-identical"),
        pytest.param("T103", (A, B), id="no catch-all"),
        pytest.param("T104", (Category(id="p", children=(A,)), B, REST), id="one child"),
        pytest.param("T105", (A.model_copy(update={"team": "x"}), B, REST), id="no team"),
        pytest.param("T106", (A, B.model_copy(update={"was": ("A",)}), REST), id="former id like another"),
    ],
)
def test_each_rule_finds_its_case(code: str, categories: tuple[Category, ...]) -> None:
    """Exactly the finding that the taxonomy was made for."""
    assert codes(*categories) == [code]


def test_a_former_id_may_be_like_that_of_its_heir() -> None:
    """A category that was renamed by case alone, split, or made a group is no finding."""
    parts = (
        Category(id="退款-1", was=("退款",), description="Late"),
        Category(id="退款-2", was=("退款",), description="Wrong sum"),
    )
    apart = Category(
        id="app", children=(Category(id="crash", was=("app",), description="It ends"), Category(id="slow", description="慢"))
    )
    assert codes(A.model_copy(update={"was": ("A",)}), *parts, apart, REST) == []


def test_every_rule_is_tested() -> None:
    """A new rule needs a case above."""
    mark = next(m for m in test_each_rule_finds_its_case.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {case.values[0] for case in mark.args[1]} == set(RULES)


def test_the_sample_passes() -> None:
    """The shipped taxonomy has no finding of any kind."""
    assert lint(Taxonomy.sample()) == []


def test_a_finding_says_code_reason_and_remedy() -> None:
    """One line that a person can act on."""
    [finding] = lint(Taxonomy(categories=(A, B)))
    assert str(finding).startswith("T103 warning: without a catch-all")
    assert str(finding).endswith("mark one leaf with catch_all: true")
