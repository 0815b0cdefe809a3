"""Between two versions of a taxonomy: every difference has its name, every label its place, and suggestions only suggest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Category, Policy, Taxonomy
from llmtriage.routing import Router
from llmtriage.taxonomy_diff import Change, Guess, Waiting, diff

IDS = ("a", "b", "c", "退款", "物流", "x y", "7")


def leaf(name: str, *was: str, **fields: Any) -> Category:
    """A leaf."""
    return Category(id=name, was=was, **fields)


def group(name: str, *children: Category, was: tuple[str, ...] = (), **fields: Any) -> Category:
    """A node with children."""
    return Category(id=name, children=children, was=was, **fields)


def tree(*categories: Category, **fields: Any) -> Taxonomy:
    """A taxonomy."""
    return Taxonomy(categories=categories, **fields)


def test_the_same_is_the_same() -> None:
    """Nothing differs and every label stays."""
    found = diff(Taxonomy.sample(), Taxonomy.sample())
    assert (found.changes, found.waiting, found.guesses, found.unknown) == ((), {}, (), ())
    assert found.carried == {one.id: one.id for one in Taxonomy.sample().leaves}


OLD = tree(group("sales", leaf("refund"), leaf("退款")), group("tech", leaf("app", team="web"), team="tech"), leaf("other"))
TECH, OTHER = OLD.categories[1:]


@pytest.mark.parametrize(
    ("new", "changes", "moves"),
    [
        pytest.param(
            tree(group("sales", leaf("money", "refund"), leaf("退款")), TECH, OTHER),
            [Change(kind="renamed", old=("refund",), new=("money",))],
            {"refund": "money"},
            id="a leaf renamed",
        ),
        pytest.param(
            tree(group("shop", leaf("refund"), leaf("退款"), was=("sales",)), TECH, OTHER),
            [Change(kind="renamed", old=("sales",), new=("shop",))],
            {},
            id="a group renamed: what is below has not moved",
        ),
        pytest.param(
            tree(group("sales", leaf("money", "refund", "退款")), TECH, OTHER),
            [Change(kind="merged", old=("refund", "退款"), new=("money",))],
            {"refund": "money", "退款": "money"},
            id="merged into a new leaf",
        ),
        pytest.param(
            tree(group("sales", leaf("退款", "refund")), TECH, OTHER),
            [Change(kind="merged", old=("退款", "refund"), new=("退款",))],
            {"refund": "退款"},
            id="merged into a leaf that stays",
        ),
        pytest.param(
            tree(group("sales", leaf("late", "退款"), leaf("wrong", "退款"), leaf("refund")), TECH, OTHER),
            [Change(kind="split", old=("退款",), new=("late", "wrong"))],
            {"退款": Waiting(reason="split", candidates=("late", "wrong"))},
            id="split",
        ),
        pytest.param(
            tree(group("sales", leaf("late", "退款", "refund"), leaf("wrong", "退款")), TECH, OTHER),
            [
                Change(kind="merged", old=("退款", "refund"), new=("late",)),
                Change(kind="split", old=("退款",), new=("late", "wrong")),
            ],
            {"refund": "late", "退款": Waiting(reason="split", candidates=("late", "wrong"))},
            id="split, and one part took over another leaf",
        ),
        pytest.param(
            tree(group("sales", leaf("refund")), group("tech", leaf("app", team="web"), leaf("退款"), team="tech"), OTHER),
            [
                Change(kind="moved", old=("退款",), new=("退款",), details=("sales", "tech")),
                Change(kind="rerouted", old=("退款",), new=("退款",), details=("team",)),
            ],
            {},
            id="moved to another team",
        ),
        pytest.param(
            tree(group("sales", leaf("refund"), leaf("退款")), leaf("app", team="web"), OTHER),
            [
                Change(kind="moved", old=("app",), new=("app",), details=("tech", "")),
                Change(kind="removed", old=("tech",)),
            ],
            {},
            id="moved to the top as its group went",
        ),
        pytest.param(
            tree(group("sales", group("refund", leaf("late"), leaf("wrong")), leaf("退款")), TECH, OTHER),
            [
                Change(kind="became_group", old=("refund",), new=("late", "wrong")),
                Change(kind="added", new=("late",)),
                Change(kind="added", new=("wrong",)),
            ],
            {"refund": Waiting(reason="became_group", candidates=("late", "wrong"))},
            id="a leaf became a group",
        ),
        pytest.param(
            tree(group("sales", group("refund", leaf("late", "refund"), leaf("wrong")), leaf("退款")), TECH, OTHER),
            [
                Change(kind="renamed", old=("refund",), new=("late",)),
                Change(kind="became_group", old=("refund",), new=("late", "wrong")),
                Change(kind="added", new=("wrong",)),
            ],
            {"refund": "late"},
            id="a leaf became a group, and one leaf has its labels",
        ),
        pytest.param(
            tree(leaf("sales", "refund", "退款"), TECH, OTHER),
            [
                Change(kind="merged", old=("refund", "退款"), new=("sales",)),
                Change(kind="became_leaf", old=("sales",), new=("sales",)),
            ],
            {"refund": "sales", "退款": "sales"},
            id="a group became a leaf",
        ),
        pytest.param(
            tree(group("sales", leaf("refund"), leaf("退款")), leaf("tech", "app", team="tech"), OTHER),
            [
                Change(kind="renamed", old=("app",), new=("tech",)),
                Change(kind="became_leaf", old=("tech",), new=("tech",)),
            ],
            {"app": "tech"},
            id="a group of one became a leaf",
        ),
        pytest.param(
            tree(group("sales", leaf("refund"), leaf("退款"), leaf("发票")), TECH),
            [Change(kind="added", new=("发票",)), Change(kind="removed", old=("other",))],
            {"other": Waiting(reason="removed", candidates=())},
            id="added and removed",
        ),
        pytest.param(
            tree(
                group("sales", leaf("refund", description="d", examples=("e",)), leaf("退款")),
                group("tech", leaf("app", team="web"), team="it", always_review=True),
                leaf("other", catch_all=True, max_error=0.1),
            ),
            [
                Change(kind="reworded", old=("refund",), new=("refund",), details=("description", "examples")),
                Change(kind="rerouted", old=("tech",), new=("tech",), details=("team", "always_review")),
                Change(kind="rerouted", old=("other",), new=("other",), details=("max_error", "catch_all")),
            ],
            {},
            id="words and routing",
        ),
        pytest.param(
            tree(group("sales", leaf("退款"), leaf("refund")), TECH, OTHER), [Change(kind="reordered")], {}, id="another order"
        ),
        pytest.param(
            OLD.model_copy(
                update={"name": "Shop", "precedence": ("x",), "rules": ({"name": "r", "when": {"keywords": "k"}, "team": "t"},)}
            ),
            [Change(kind="reworded", details=("name", "precedence")), Change(kind="rerouted", details=("rules",))],
            {},
            id="the taxonomy as a whole",
        ),
    ],
)
def test_each_difference_has_its_name(new: Taxonomy, changes: list[Change], moves: dict[str, str | Waiting]) -> None:
    """And of the labels only those that it is about mean something else now."""
    found = diff(OLD, new)
    assert list(found.changes) == changes
    assert {**found.carried, **found.waiting} == {one.id: one.id for one in OLD.leaves} | moves


def test_a_chain_of_names_is_kept_or_missed() -> None:
    """What the version before could carry is still carried if the new one names it; else it waits, and the missing entry is suggested."""
    first, second = tree(leaf("refund"), leaf("z")), tree(leaf("退货", "refund"), leaf("z"))
    kept, lost = tree(leaf("money", "退货", "refund"), leaf("z")), tree(leaf("money", "退货"), leaf("z"))
    assert diff(second, kept).carried == {"退货": "money", "refund": "money", "z": "z"}
    assert diff(second, lost).waiting == {"refund": Waiting(reason="removed", candidates=())}
    assert diff(second, lost).guesses == (Guess(label="refund", heir="money", likeness=None),)
    assert diff(first, kept).unknown == (("退货", "money"),)


def test_a_leaf_that_reads_alike_is_suggested_and_not_used() -> None:
    """A renamed category without `was`: its label waits until a person has said so."""
    words = {"description": {"en": "Money that is to come back after a return", "zh": "退货之后应退回的款项"}}
    old = tree(leaf("refund", **words), leaf("parcel", description="Where is my delivery"), leaf("other"))
    new = tree(leaf("money_back", **words), leaf("wifi", description="No connection at home"), leaf("other"))
    found = diff(old, new)
    [guess] = found.guesses
    assert (guess.label, guess.heir) == ("refund", "money_back")
    assert guess.likeness is not None
    assert 0.5 <= guess.likeness <= 1
    assert set(found.waiting) == {"refund", "parcel"}


def test_of_two_that_read_alike_the_nearer_is_suggested() -> None:
    """And what reads like nothing that was removed is nobody's heir."""
    said = "Money that is to come back after a return"
    old = tree(leaf("refund_late", description=said + " and is late"), leaf("refund", description=said), leaf("z"))
    found = diff(old, tree(leaf("refunds", description=said), leaf("parcels", description="物流"), leaf("z")))
    assert [(guess.label, guess.heir) for guess in found.guesses] == [("refund", "refunds")]
    apart = tree(leaf("parcel", description="Where is my delivery")), tree(leaf("wifi", description="No connection at home"))
    assert diff(*apart).guesses == ()


def test_an_id_that_is_used_again_turns_old_labels() -> None:
    """A label that was carried elsewhere would silently mean the new category; so would one that another heir claims."""
    before = tree(leaf("money", "refund"), leaf("z"))
    again = diff(before, tree(leaf("money"), leaf("refund"), leaf("z")))
    assert (again.turned, again.waiting) == ({"refund": ("money", "refund")}, {})
    assert diff(before, tree(leaf("money"), leaf("退款", "refund"), leaf("z"))).turned == {"refund": ("money", "退款")}
    parts = leaf("late", "money", "refund"), leaf("lost", "money"), leaf("z")
    assert diff(before, tree(*parts)).turned == {}, "what was merged may be known better after a split"


def test_the_leaves_of_a_group_that_became_a_leaf_are_suggested() -> None:
    """The structure says so, whatever they read like."""
    found = diff(OLD, tree(leaf("sales"), TECH, OTHER))
    assert found.guesses == (Guess(label="refund", heir="sales", likeness=None), Guess(label="退款", heir="sales", likeness=None))


# -- laws --------------------------------------------------------------------------------------


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    """Any small tree with former ids."""
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    parents = [draw(st.integers(-1, place - 1)) for place in range(len(ids))]
    leaves = {name for place, name in enumerate(ids) if place not in parents}

    def made(place: int) -> Category:
        was = draw(st.lists(st.sampled_from(IDS), max_size=2))
        return Category(
            id=ids[place],
            was=tuple(name for name in was if name not in leaves and name != ids[place]),
            description=draw(st.sampled_from([None, "Money", "包裹"])),
            team=draw(st.sampled_from([None, "t"])),
            children=tuple(made(child) for child, parent in enumerate(parents) if parent == place),
        )

    return tree(*(made(place) for place, parent in enumerate(parents) if parent == -1))


def bare(taxonomy: Taxonomy) -> Taxonomy:
    """Without former ids."""

    def stripped(node: Category) -> Category:
        return node.model_copy(update={"was": (), "children": tuple(map(stripped, node.children))})

    return taxonomy.model_copy(update={"categories": tuple(map(stripped, taxonomy.categories))})


@given(taxonomies())
def test_a_version_does_not_differ_from_itself(taxonomy: Taxonomy) -> None:
    """No change, and every label means what it meant."""
    found = diff(taxonomy, taxonomy)
    assert (found.changes, found.waiting, found.turned, found.guesses, found.unknown) == ((), {}, {}, (), ())
    assert found.carried == taxonomy.labels


@pytest.mark.slow
@given(taxonomies(), taxonomies())
def test_every_label_is_carried_or_waits(old: Taxonomy, new: Taxonomy) -> None:
    """Never both, never neither; what is carried is a leaf and stays there, what waits names leaves to choose among."""
    found = diff(old, new)
    assert found.carried.keys().isdisjoint(found.waiting)
    assert {*found.carried, *found.waiting} == set(old.labels) >= {one.id for one in old.leaves}
    leaves = {one.id for one in new.leaves}
    assert leaves >= set(found.carried.values())
    assert all(new.carried(heir) == heir for heir in found.carried.values())
    assert all(new.carried(label) == found.carried.get(label) for label in old.labels)
    for waiting in found.waiting.values():
        assert leaves >= set(waiting.candidates)
        assert bool(waiting.candidates) == (waiting.reason != "removed")


@given(taxonomies(), taxonomies())
def test_no_difference_goes_unnamed(old: Taxonomy, new: Taxonomy) -> None:
    """Without a change the two are equal but for former ids, and a calibration still fits; with one it does not."""
    found = diff(old, new)
    same = bare(old) == bare(new)
    assert (found.changes == ()) == same
    fits = (old.hash, Router(old, Policy()).fingerprint) == (new.hash, Router(new, Policy()).fingerprint)
    assert fits == same
    named = {name for change in found.changes for name in (*change.old, *change.new)}
    assert {node.id for node in old.nodes} ^ {node.id for node in new.nodes} <= named


@pytest.mark.slow
@given(taxonomies(), taxonomies())
def test_what_is_suggested_can_be_written(old: Taxonomy, new: Taxonomy) -> None:
    """With its entry in `was` the label is carried there."""
    for guess in diff(old, new).guesses:

        def told(node: Category, guess: Guess = guess) -> Category:
            was = (*node.was, guess.label) if node.id == guess.heir else node.was
            return Category.model_validate(dict(node) | {"was": was, "children": tuple(map(told, node.children))})

        assert tree(*map(told, new.categories)).carried(guess.label) == guess.heir
