"""Prompts: a shared prefix, a ticket that cannot leave its fence, templates that can be replaced."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Category, Example, InputError, Question, Taxonomy, UnknownNameError
from llmtriage.prompting import Form, Prompt, defused, estimated_tokens, fenced
from llmtriage.resources import shipped

CONTROL_TOKENS = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "</s>", "<s>", "<think>", "</think>", "<<SYS>>", "[INST]",
    "[/INST]", "[gMASK]", "<start_of_turn>", "<end_of_turn>", "<｜User｜>", "<｜begin▁of▁sentence｜>", "[TOOL_CALLS]", "<bos>", "<tool_call>",
]  # fmt: skip


def question(text: str, taxonomy: Taxonomy, *examples: Example) -> Question:
    """A question over all leaves."""
    return Question(text=text, categories=taxonomy.leaves, examples=examples)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everything_before_what_varies_is_byte_identical(language: str) -> None:
    """The system message is the same for every ticket; examples of one ticket come after it and the ticket is last."""
    sample = Taxonomy.sample()
    prompt = Prompt(sample, language=language, examples=[Example(text="shared", category="other")])
    one = prompt.render(question("第一张", sample, Example(text="near", category="other")))
    two = prompt.render(question("second", sample))
    assert one.system.encode() == two.system.encode()
    assert one.user.endswith(fenced("第一张") + "\n")
    assert one.user.index("near") < one.user.index("第一张")
    assert two.user == fenced("second") + "\n"
    assert one.system.endswith(fenced("shared") + '\n{"category": "other"}\n')


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_prompt_names_every_category_once_in_file_order(language: str) -> None:
    """Each leaf with its description, its limits and the written precedence."""
    sample = Taxonomy.sample()
    system = Prompt(sample, language=language).render(question("x y", sample)).system
    places = [system.index(f'. "{leaf.id}"') for leaf in sample.leaves]
    assert places == sorted(places)
    for text in (sample.leaves[3].description, sample.leaves[3].includes[0], sample.precedence[0]):
        assert isinstance(text, dict)
        assert text[language] in system
    assert "rationale" not in system
    assert "rationale" in Prompt(sample, language=language, rationale=True).render(question("x y", sample)).system


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*CONTROL_TOKENS, "</ticket-", "<ticket-a>", "x", " ", "\n"]), max_size=8).map("".join)
)
def test_a_ticket_cannot_contain_its_fence_or_a_control_token(text: str) -> None:
    """Whatever is written, the two tags stand once each, at the ends, and no control token is left inside."""
    block = fenced(text)
    match = re.fullmatch(r"<ticket-([0-9a-f]{12})>\n(.*)\n</ticket-\1>", block, flags=re.DOTALL)
    assert match
    assert match[1] not in match[2]
    assert not any(token in match[2] for token in CONTROL_TOKENS)
    block.encode("utf-8")


@pytest.mark.parametrize("text", ["plain words", "钱 < 500 元 > 300", "a [note] and [1] and [Re]", "x<\n"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Only what looks like a control token is broken up."""
    assert defused(text) == text


def test_the_fence_is_reproducible_and_unforeseeable() -> None:
    """The same text gives the same prompt; another text another tag."""
    assert fenced("a text") == fenced("a text")
    assert fenced("a text").split("\n")[0] != fenced("a texu").split("\n")[0]


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% for x in y %}", "{# gone #}", "${x}", "{0}"])
def test_a_ticket_is_never_a_template(text: str) -> None:
    """Template syntax in a ticket, an example or a category is text."""
    taxonomy = Taxonomy.from_labels(["a", text])
    messages = Prompt(taxonomy, examples=[Example(text=text, category=text)]).render(question(text, taxonomy))
    assert messages.user.count(text) == 1
    assert messages.system.count(text) == 3


def test_categories_are_quoted_as_json() -> None:
    """Quotes and backslashes in an id cannot end its quotes."""
    taxonomy = Taxonomy.from_labels(['say "hi"', "back\\slash", "洗发水"])
    system = Prompt(taxonomy).render(question("x y", taxonomy)).system
    for written in (r'"say \"hi\""', r'"back\\slash"', '"洗发水"'):
        assert written in system


def folder(tmp_path: Path, system: str = "s", user: str = "{{ ticket }}") -> Path:
    """A prompt folder with these two templates."""
    (tmp_path / "system.j2").write_text(system, encoding="utf-8")
    (tmp_path / "user.j2").write_text(user, encoding="utf-8")
    return tmp_path


def test_templates_are_replaced_by_a_folder(tmp_path: Path, shop: Taxonomy) -> None:
    """All of the wording is the folder's."""
    system = "{% for c in categories %}{{ c.id }}/{% endfor %}{{ examples | length }}"
    prompt = Prompt(shop, folder=folder(tmp_path, system), examples=[Example(text="x", category="login")])
    assert prompt.render(question("x y", shop)).system == "refund/parcel/login/privacy/other/1\n"


@pytest.mark.parametrize(
    ("system", "user", "words"),
    [
        pytest.param("{{ nothing }}", "{{ ticket }}", "'nothing' is undefined", id="unknown name"),
        pytest.param("{% for %}", "{{ ticket }}", "system.j2:1", id="broken"),
        pytest.param("s", "no ticket", "the ticket is not last", id="drops the ticket"),
        pytest.param("s", "{{ ticket }} and so on", "the ticket is not last", id="ticket in the middle"),
        pytest.param("{{ ''.__class__.__mro__ }}", "{{ ticket }}", "unsafe", id="sandbox"),
        pytest.param("{{ 1 / 0 }}", "{{ ticket }}", "division by zero", id="arithmetic"),
    ],
)
def test_a_broken_template_fails_at_the_start(tmp_path: Path, shop: Taxonomy, system: str, user: str, words: str) -> None:
    """Before the first ticket, with the name of the template."""
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        Prompt(shop, folder=folder(tmp_path, system, user))
    assert ".j2" in str(caught.value)


def test_a_missing_template_is_named(tmp_path: Path, shop: Taxonomy) -> None:
    """With what a folder must hold."""
    with pytest.raises(InputError, match=r"no template system\.j2; a prompt folder holds system\.j2 and user\.j2"):
        Prompt(shop, folder=tmp_path)
    with pytest.raises(UnknownNameError, match="unknown prompt language 'fr'; known: en, zh"):
        Prompt(shop, language="fr")


def test_the_hash_sees_wording_and_options(tmp_path: Path, shop: Taxonomy) -> None:
    """One letter of a template is another prompt."""
    hashes = {
        Prompt(shop).hash,
        Prompt(shop, language="zh").hash,
        Prompt(shop, rationale=True).hash,
        Prompt(shop, folder=folder(tmp_path)).hash,
        Prompt(shop, folder=folder(tmp_path, "t")).hash,
    }
    assert len(hashes) == 5
    assert Prompt(shop).hash == Prompt(shop, folder=shipped("prompts") / "en").hash


def test_the_hash_sees_included_templates_and_what_was_loaded(tmp_path: Path, shop: Taxonomy) -> None:
    """What is hashed is what is rendered, also when the files change later."""
    (tmp_path / "common.j2").write_text("one", encoding="utf-8")
    where = folder(tmp_path, "{% include 'common.j2' %}")
    first = Prompt(shop, folder=where)
    before = first.hash
    (tmp_path / "common.j2").write_text("two", encoding="utf-8")
    assert first.hash == before
    assert first.render(question("x y", shop)).system == "one\n"
    assert Prompt(shop, folder=where).hash != before


def test_an_example_of_a_category_cannot_form_a_control_token() -> None:
    """It came from a customer too."""
    taxonomy = Taxonomy.model_validate({"categories": [{"id": "a", "examples": ["hi <|im_end|>"]}, {"id": "b"}]})
    assert "<|im_end|>" not in Prompt(taxonomy).render(question("x y", taxonomy)).system


def test_the_estimate_counts_ideographs_and_letters() -> None:
    """One token an ideograph, one per four letters."""
    assert [estimated_tokens(text) for text in ("", "abcd", "退款", "退款abcde")] == [0, 1, 2, 4]


# -- answers by code -------------------------------------------------------------------------------

LETTERS = Form(codes=("A", "B", "C", "D", "E"))
IN_JSON = Form(codes=LETTERS.codes, in_json=True)


@pytest.mark.parametrize("form", [LETTERS, IN_JSON])
@pytest.mark.parametrize(
    ("language", "first", "comma"), [("en", 'A: "refund", Sales > Refund\n', ", "), ("zh", 'A："refund"，售后 > 退款\n', "、")]
)
def test_each_category_stands_behind_its_code(shop: Taxonomy, form: Form, language: str, first: str, comma: str) -> None:
    """Once, in file order, with id and names; the answer is one of the codes, alone or in JSON."""
    system = Prompt(shop, language=language).render(question("x y", shop), form).system
    assert first in system
    assert re.findall('^([A-Z])(?:: |：)"', system, flags=re.MULTILINE) == list("ABCDE")
    assert comma.join(f'"{code}"' if form.in_json else code for code in form.codes) in system
    assert ('{"category"' in system) is form.in_json
    assert "confidence" not in system


def test_another_turn_gives_another_code_and_no_form_none(shop: Taxonomy) -> None:
    """And each form has a shared prefix of its own."""
    prompt = Prompt(shop)
    turned = Form(codes=("B", "C", "D", "E", "A"))
    systems = [prompt.render(question("x y", shop), form).system for form in (LETTERS, turned, LETTERS, Form())]
    assert systems[0] == systems[2]
    assert 'B: "refund"' in systems[1]
    assert "A: " not in systems[3]
    assert systems[3] == prompt.render(question("x y", shop)).system


@pytest.mark.parametrize(("form", "shared", "own"), [(LETTERS, "C", "A"), (IN_JSON, '{"category": "C"}', '{"category": "A"}')])
def test_examples_are_answered_by_code(shop: Taxonomy, form: Form, shared: str, own: str) -> None:
    """As the model is to answer."""
    prompt = Prompt(shop, examples=[Example(text="forgot my password", category="login")])
    messages = prompt.render(question("x y", shop, Example(text="money back", category="refund")), form)
    assert messages.system.endswith(f"{fenced('forgot my password')}\n{shared}\n")
    assert f"{fenced('money back')}\n{own}\n" in messages.user


def test_a_question_about_parts_shows_what_is_known_and_only_examples_of_it(shop: Taxonomy) -> None:
    """Examples of leaves answer for the node they are in; those of other nodes are left out."""
    shown = [
        Example(text="money back", category="refund"),
        Example(text="no login", category="login"),
        Example(text="hm", category="other"),
    ]
    prompt = Prompt(shop, examples=shown)
    top = prompt.render(Question(text="x y", categories=shop.categories), Form(codes=("A", "B", "C"))).system
    assert 'A: "sales", Sales\n   Its parts: Refund; parcel\n' in top
    assert [top.index(f"{fenced(text)}\n{code}\n") > 0 for text, code in (("money back", "A"), ("no login", "B"), ("hm", "C"))]
    assert "known already" not in top
    below = Question(text="x y", categories=shop["sales"].children)
    system = prompt.render(below, Form(codes=("A", "B"), within="sales")).system
    assert "It is known already that the ticket belongs to Sales: choose the part of it." in system
    assert "no login" not in system
    assert system.endswith(f"{fenced('money back')}\nA\n")
    chinese = Prompt(shop, language="zh").render(below, Form(codes=("A", "B"), within="sales")).system
    assert "已知工单属于“售后”" in chinese


def test_a_code_leaves_no_room_for_a_reason(shop: Taxonomy) -> None:
    """One token is all there is."""
    assert "rationale" not in Prompt(shop, rationale=True).render(question("x y", shop), LETTERS).system


@pytest.mark.parametrize("name", ['say "hi"', "{{ 7 * 7 }}", "{brace}", "back\\slash", "退款", "长" * 200])
@pytest.mark.parametrize("in_json", [False, True])
def test_odd_names_have_codes_and_may_be_codes(name: str, in_json: bool) -> None:  # noqa: FBT001
    """In JSON they are written as JSON."""
    taxonomy = Taxonomy.from_labels([name, "zebra"])
    prompt = Prompt(taxonomy, examples=[Example(text="t", category=name)])
    system = prompt.render(question("x y", taxonomy), Form(codes=("A", "B"), in_json=in_json)).system
    assert f"A: {json.dumps(name, ensure_ascii=False)}\n" in system
    words = prompt.render(question("x y", taxonomy), Form(codes=(name, "zebra"), in_json=in_json)).system
    answer = json.dumps({"category": name}, ensure_ascii=False) if in_json else name
    assert words.endswith(f"{fenced('t')}\n{answer}\n")


def test_a_name_on_several_lines_is_shown() -> None:
    """Ids are on one; names need not be."""
    taxonomy = Taxonomy(categories=(Category(id="a", name="two\nlines"), Category(id="b")))
    assert "two\nlines" in Prompt(taxonomy).render(question("x y", taxonomy), Form(codes=("A", "B"))).system


@pytest.mark.parametrize(
    "system",
    [
        pytest.param("All Big Cats Do Eat: {% for c in categories %}{{ c.id }} {% endfor %}", id="letters of other words"),
        pytest.param("{% for c in categories[1:] %}{{ c.code }}={{ c.id }} {% endfor %}", id="all but one"),
        pytest.param("{% if not in_json %}{% for c in categories %}{{ c.code }} {% endfor %}{% endif %}", id="not in JSON"),
    ],
)
def test_templates_that_show_no_codes_are_refused_where_there_are_some(tmp_path: Path, shop: Taxonomy, system: str) -> None:
    """A letter is found in any text, so others are looked for; without codes the templates are good."""
    prompt = Prompt(shop, folder=folder(tmp_path, system))
    prompt.render(question("x y", shop))
    with pytest.raises(InputError, match=r"does not show the codes of categories; show \{\{ category\.code \}\}") as caught:
        prompt.render(question("x y", shop), IN_JSON)
    assert "system.j2" in str(caught.value)


def test_templates_of_ones_own_that_show_codes_are_taken(tmp_path: Path, shop: Taxonomy) -> None:
    """However they do it."""
    system = "{% for c in categories %}{% if codes %}{{ codes[loop.index0] }}={% endif %}{{ c.id }} {% endfor %}"
    prompt = Prompt(shop, folder=folder(tmp_path, system))
    assert prompt.render(question("x y", shop), LETTERS).system == "A=refund B=parcel C=login D=privacy E=other\n"
