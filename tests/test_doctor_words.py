"""What doctor says of what it found: every finding in both languages, and the texts it sends."""

from __future__ import annotations

import re
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtriage.backends.probing import Capabilities, JsonModes, Thinking, Window
from llmtriage.doctor.findings import Finding, of_chat
from llmtriage.doctor.samples import samples
from llmtriage.doctor.words import NAMES, STATES, WORDINGS
from llmtriage.settings import BackendSettings


def places(text: str) -> set[str]:
    """The names of the values in a sentence."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("code", sorted(WORDINGS))
def test_every_finding_has_both_languages_and_one_suggestion_if_something_is_missing(code: str) -> None:
    """With the same values in both, and one line each."""
    wording = WORDINGS[code]
    assert places(wording.en) == places(wording.zh)
    assert places(wording.mend_en) == places(wording.mend_zh)
    assert re.search("[\u4e00-\u9fff]", wording.zh)
    assert bool(wording.mend_en) == bool(wording.mend_zh) == (wording.state != "ok")
    assert "\n" not in wording.en + wording.zh + wording.mend_en + wording.mend_zh
    for language in ("en", "zh"):
        assert code.partition(".")[0] in NAMES[language]
        assert wording.state in STATES[language]


def test_numbers_and_words_of_a_finding_are_readable() -> None:
    """Long numbers have commas, words are translated."""
    values = {"prompt": 12345.6, "cached": "=unknown", "output": 9.26, "ratios": "en 0.91"}
    finding = Finding(code="tokens.ok", values=values)
    assert "12,346" in finding.line("en")
    assert "not known" in finding.line("en")
    assert "未知" in finding.line("zh")
    assert finding.suggestion("en") is None


KEPT = st.sampled_from(["honoured", "ignored", "refused", "unknown"])
SWITCHES = st.sampled_from(["leave", "chat_template", "reasoning_effort"])


@given(
    json=st.builds(JsonModes, schema=KEPT, chinese=KEPT, object=KEPT, prompt=KEPT),
    thinking=st.builds(
        Thinking,
        switch=SWITCHES,
        plain=st.none() | st.booleans(),
        switched=st.none() | st.booleans(),
        works=st.none() | SWITCHES,
    ),
    window=st.builds(
        Window,
        tested=st.integers(0, 9),
        read=st.none() | st.integers(1, 9),
        longest_whole=st.none() | st.integers(1, 9),
        refused_at=st.none() | st.integers(1, 9),
        cut=st.none() | st.booleans(),
    ),
    context=st.none() | st.integers(1, 9999),
)
def test_whatever_was_seen_can_be_said(json: JsonModes, thinking: Thinking, window: Window, context: int | None) -> None:
    """Every combination has a line in both languages, without a place that was left open; the checks are the same eight."""
    seen = Capabilities(url="u", model="m", keyed=False, json=json, thinking=thinking, window=window)
    seen = replace(seen, identity=replace(seen.identity, context=context))
    findings = of_chat(seen, BackendSettings(kind="openai", model="m"), needed=5000)
    assert [f.check for f in findings] == ["reachable", "key", "model", "context", "json", "thinking", "logprobs", "front"]
    for finding in findings:
        for language in ("en", "zh"):
            said = finding.line(language) + (finding.suggestion(language) or "")
            assert "{" not in said
            assert "=unknown" not in said


@given(st.integers(0, 60), st.integers(0, 500))
def test_samples_are_as_many_as_wanted_all_different_half_in_each_language(count: int, first: int) -> None:
    """And the same number is always the same ticket."""
    found = samples(count, first=first)
    assert len({text for _, text in found}) == count
    assert abs(sum(language == "zh" for language, _ in found) - count / 2) <= 0.5
    assert found == [samples(1, first=first + number)[0] for number in range(count)]
