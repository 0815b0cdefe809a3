"""The files of the model that a real vLLM serves are what its card says."""

from __future__ import annotations

import json
import string

from support import ROOT

from llmtriage import Taxonomy

FOLDER = ROOT / "tests" / "vllm"
MODEL = FOLDER / "model"


def test_the_model_is_small() -> None:
    """Under 5 MB in all, so that it can be kept beside the tests."""
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 5_000_000


def test_letters_and_answers_are_single_tokens() -> None:
    """Every capital, at least 200 pairs of capitals, the roles, and the first words of the ten domains, which all differ."""
    vocabulary = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    pairs = {a + b for a in string.ascii_uppercase for b in string.ascii_uppercase}
    first = [leaf.id.split("_")[0] for leaf in Taxonomy.load(FOLDER / "taxonomy.yaml").leaves]
    assert {*string.ascii_uppercase, "system", "user", "assistant", "yes", "no", *first} <= vocabulary.keys()
    assert len(pairs & vocabulary.keys()) >= 200
    assert len(set(first)) == 10


def test_two_halves_make_a_domain() -> None:
    """Twenty leaves in alphabetical order, whose ids begin with their domain's; each has its intents, and none has another's."""
    domains = [leaf.id for leaf in Taxonomy.load(FOLDER / "taxonomy.yaml").leaves]
    halves = [leaf.id for leaf in Taxonomy.load(FOLDER / "training" / "halves.yaml").leaves]
    intents = json.loads((FOLDER / "training" / "halves.json").read_text(encoding="utf-8"))
    assert halves == sorted(halves) == list(intents)
    for domain in domains:
        one, other = (half for half in halves if half.startswith(f"{domain}_"))
        assert len({*intents[one], *intents[other]}) == len(intents[one]) + len(intents[other]) == 15
