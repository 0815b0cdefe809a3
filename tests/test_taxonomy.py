"""The taxonomy: what it accepts, what it says about what it does not, and that it survives a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Category, InputError, Policy, Question, Taxonomy, UnknownNameError
from llmtriage.prompting import Prompt
from llmtriage.routing import Router
from llmtriage.taxonomy import in_language

BANKING = ["Refund_not_showing_up", "reverted_card_payment?", "洗发水", "no", "12", "a: b", "- x", "'quoted'", "#hash"]


def load(folder: Path, text: str) -> Taxonomy:
    """Read `text` as a taxonomy file."""
    path = folder / "t.yaml"
    path.write_text(text, encoding="utf-8")
    return Taxonomy.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        pytest.param("", None, None, "the file is empty", id="empty"),
        pytest.param("# only a comment\n", None, None, "the file is empty", id="comment only"),
        pytest.param("categories:\n\t- id: a\n", 2, None, "indent with spaces, not tabs", id="tabs"),
        pytest.param(
            "categories:\n  - id: a\n    nam: b\n", 3, "categories.0.nam", "unknown key; did you mean 'name'?", id="unknown key"
        ),
        pytest.param("categories:\n  - id: a\n  - id: b\n  - id: a\n", 4, None, "the id 'a' stands twice", id="duplicate id"),
        pytest.param("version: 1\nversion: 1\n", 2, "version", "this key stands twice", id="duplicate key"),
        pytest.param("categories: !!python/object:os.system [a]\n", 1, None, "tags (!...) are not allowed", id="python tag"),
        pytest.param("categories:\n  - id: 12\n", 2, "categories.0.id", "put it in quotes", id="number as id"),
        pytest.param("categories:\n  - id: yes\n", 2, "categories.0.id", "put it in quotes", id="boolean as id"),
        pytest.param("- a\n- b\n", 1, None, "begin with 'categories:'", id="a list"),
        pytest.param("categories:\n  - name: a\n", 2, "categories.0.id", "this field is missing; add it", id="no id"),
        pytest.param("categories: []\n", 1, "categories", "the list is empty; name at least one", id="no category"),
        pytest.param("categories:\n  - {id: a, max_error: 3}\n", 2, "categories.0.max_error", "less than 1", id="max_error"),
        pytest.param(
            "categories:\n  - {id: a, catch_all: true}\n  - {id: b, catch_all: true}\n",
            3,
            None,
            "it may mark one leaf",
            id="two catch-alls",
        ),
        pytest.param(
            "rules:\n  - {name: x, when: {category: zz}, team: b}\ncategories:\n  - {id: a}\n",
            1,
            None,
            "unknown category 'zz'",
            id="rule",
        ),
        pytest.param("categorys:\n  - id: a\n", 2, "categorys", "did you mean 'categories'?", id="mistyped key"),
        pytest.param("categories: &a\n  - id: a\nrules: *a\n", 3, None, "aliases (*name) are not allowed", id="alias"),
        pytest.param(
            "categories:\n  - {id: a, description: 2026-99-01}\n", None, None, "put it in quotes", id="a date that is none"
        ),
        pytest.param("categories: " + "[" * 5000 + "]" * 5000, None, None, "nested too deeply", id="deep"),
        pytest.param("categories:\n  - id: a\n    team: [x\n", 4, None, "check indentation, colons and quotes", id="broken"),
        pytest.param(
            "categories:\n  - {id: 迟到, was: 退款}\n  - {id: 退款}\n",
            2,
            None,
            "'迟到' says was: [退款], which is still a category; give that one a new id too, or leave it out of was",
            id="was a leaf that is there",
        ),
        pytest.param(
            "categories:\n  - id: a\n    was: [b, a]\n", 2, None, "its own id; leave it out: an id that stays", id="was itself"
        ),
        pytest.param(
            "categories:\n  - id: a\n    was:\n      - 12\n", 4, "categories.0.was.0", "put it in quotes", id="was a number"
        ),
        pytest.param("categories:\n  - {id: a}\nversion: 2\n", 3, "version", "Input should be 1", id="another version"),
    ],
)
def test_a_broken_file_is_one_line_with_place_and_remedy(
    tmp_path: Path, text: str, line: int | None, field: str | None, words: str
) -> None:
    """Each error names the file, the line, the field and what to do, on one line."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    error = caught.value
    assert (error.line, error.field) == (line, field)
    assert error.file == str(tmp_path / "t.yaml")
    assert words in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe\x00a", "categories:\n  - id: \u6d17\u53d1\u6c34".encode("gb18030")], ids=["binary", "gb18030"]
)
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, raw: bytes) -> None:
    """YAML is UTF-8; anything else is named with its line."""
    path = tmp_path / "t.yaml"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="not UTF-8; save the file as UTF-8"):
        Taxonomy.load(path)


@pytest.mark.parametrize("name", ["missing.yaml", "."], ids=["missing", "folder"])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are told apart in one line."""
    with pytest.raises(InputError, match=r"no such file|this is a folder"):
        Taxonomy.load(tmp_path / name)


def test_labels_stay_verbatim(tmp_path: Path) -> None:
    """What stands in the file is the id, also where YAML would read it as something else."""
    taxonomy = Taxonomy.from_labels([*BANKING, *BANKING])
    assert [leaf.id for leaf in taxonomy.leaves] == BANKING
    assert load(tmp_path, taxonomy.to_yaml()) == taxonomy


def test_the_none_label_marks_the_catch_all_and_none_is_invented() -> None:
    """A catch-all is there only if it was named, and must be among the labels."""
    assert Taxonomy.from_labels(["a", "oos"], none_label="oos").catch_all == Category(id="oos", catch_all=True)
    assert Taxonomy.from_labels(["a", "b"]).catch_all is None
    with pytest.raises(UnknownNameError, match="did you mean 'oos'"):
        Taxonomy.from_labels(["a", "oos"], none_label="OOS")


ids = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30).map(str.strip).filter(bool)


@given(
    st.lists(ids, min_size=1, max_size=8, unique=True), st.dictionaries(st.sampled_from(["en", "zh"]), texts, min_size=1), texts
)
def test_a_taxonomy_survives_yaml(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], name: dict[str, str], line: str
) -> None:
    """`to_yaml` and `load` are inverse for any ids and texts."""
    leaves = tuple(Category(id=label, description=line) for label in labels)
    taxonomy = Taxonomy(name=name, precedence=(line,), categories=leaves)
    assert load(tmp_path_factory.mktemp("t"), taxonomy.to_yaml()) == taxonomy


def test_the_sample_is_bilingual_and_has_five_departments() -> None:
    """Five departments, each but "other" with three to six sub-categories, every text in English and Chinese."""
    sample = Taxonomy.sample()
    assert [top.id for top in sample.categories] == ["consultation", "complaint", "after_sales", "technical", "other"]
    assert all(3 <= len(top.children) <= 6 for top in sample.categories[:-1])
    assert sample.catch_all is not None
    for node in sample.nodes:
        for text in (node.name, node.description, *node.includes, *node.excludes):
            assert isinstance(text, dict)
            assert set(text) == {"en", "zh"}
    assert len(sample.precedence) >= 5


def test_teams_and_review_are_inherited(shop: Taxonomy) -> None:
    """A leaf without a team has its parent's; a parent's always_review holds below it."""
    assert [shop.team(leaf.id) for leaf in shop.leaves] == ["sales", "logistics", "tech", "tech", None]
    assert [leaf.id for leaf in shop.leaves if shop.always_review(leaf.id)] == ["privacy"]
    assert [node.id for node in shop.path("refund")] == ["sales", "refund"]


def test_a_copy_derives_its_tree_and_its_hash_anew(shop: Taxonomy) -> None:
    """What was computed for the first does not stay with the second."""
    copy = shop.model_copy(update={"categories": shop.categories[:1]})
    assert [leaf.id for leaf in copy.leaves] == ["refund", "parcel"]
    assert copy.hash != shop.hash
    assert shop.model_copy(update={"name": "Another"}).hash != shop.hash


def test_the_hash_sees_words_but_not_teams(shop: Taxonomy) -> None:
    """What a model reads is in the hash; who gets the ticket is not."""
    data = shop.model_dump()
    data["categories"][0]["team"] = "another"
    assert Taxonomy.model_validate(data).hash == shop.hash
    data["categories"][0]["children"][0]["description"] = "another"
    assert Taxonomy.model_validate(data).hash != shop.hash


def test_a_former_id_changes_no_hash(shop: Taxonomy) -> None:
    """No model reads it and no ticket is routed by it, so a calibration and a prompt stay what they were."""
    data = shop.model_dump()
    data["categories"][0]["children"][0]["was"] = ["退货"]
    told = Taxonomy.model_validate(data)
    assert (told.hash, Router(told, Policy()).fingerprint) == (shop.hash, Router(shop, Policy()).fingerprint)
    question = Question(text="x", categories=told.leaves)
    assert Prompt(told).render(question) == Prompt(shop).render(Question(text="x", categories=shop.leaves))
    assert told.carried("退货") == "refund"
    assert Taxonomy.model_validate(shop.model_dump()).carried("退货") is None


def test_a_label_is_carried_to_its_only_heir() -> None:
    """A leaf keeps its own labels; a split, a group and a stranger have no single heir, and a person is told the candidates."""
    parts = (Category(id="late", was=("退款", "parcel")), Category(id="wrong", was=("退款",)))
    taxonomy = Taxonomy(
        categories=(
            Category(id="money", was=("refund", "发票"), children=parts),
            Category(id="app", was=("bugs",), children=(Category(id="crash", was=("app",)), Category(id="slow"))),
            Category(id="other", was=("spam", "spam")),
        )
    )
    carried = {"late": "late", "parcel": "late", "app": "crash", "spam": "other", "other": "other"}
    assert {label: taxonomy.carried(label) for label in carried} == carried
    waiting: dict[str, tuple[str, ...]] = {"退款": ("late", "wrong"), "refund": ("late", "wrong"), "发票": ("late", "wrong")}
    waiting |= {"money": ("late", "wrong"), "bugs": ("crash", "slow"), "nobody": ()}
    assert {label: taxonomy.candidates(label) for label in waiting} == waiting
    assert not any(map(taxonomy.carried, waiting))


def test_a_text_falls_back_to_a_language_it_has() -> None:
    """Asked-for language, else English, else the first."""
    assert in_language({"zh": "退款", "en": "Refund"}, "zh") == "退款"
    assert in_language({"zh": "退款", "en": "Refund"}, "de") == "Refund"
    assert in_language({"zh": "退款"}, "en") == "退款"


def test_an_unknown_category_names_the_nearest(shop: Taxonomy) -> None:
    """The nearest name is offered to the person, not used."""
    with pytest.raises(UnknownNameError, match=r"unknown category 'refunds'; did you mean 'refund'"):
        shop["refunds"]
