"""Prompts: a shared prefix, a ticket that cannot leave its fence, templates that can be replaced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage import Example, InputError, Question, Taxonomy, UnknownNameError
from llmtriage.prompting import Prompt, defused, estimated_tokens, fenced
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
