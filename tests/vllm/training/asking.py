"""What is asked about a sentence and how it is answered, in every form that the product knows, with the product's own prompts."""

from __future__ import annotations

import csv
import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vllm.entrypoints.generate.structured_decisions.question_types import build_question

from llmtriage import Taxonomy
from llmtriage.backends.decision_questions import Limits, choices
from llmtriage.backends.decisions import request_body
from llmtriage.predictions import Example, Question
from llmtriage.prompting import IDS, Form, Prompt, fenced
from llmtriage.settings import BackendSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
NONE = "none"  # stands for the intent of a sentence that belongs to no domain

# How often each form of the answer is asked for.
FORMS = {"code": 0.36, "code_in_json": 0.08, "id_in_json": 0.12, "rationale": 0.16, "word": 0.12, "decision": 0.16}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text of the data with its intent."""

    text: str
    intent: str


@dataclass(frozen=True, slots=True)
class Sorting:
    """A taxonomy and the leaf of each intent."""

    taxonomy: Taxonomy
    leaves: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A way to ask: from a text to the chat's messages, from a sentence of a domain to the answer, and the codes, where one is all of it."""

    messages: Callable[[str], list[dict[str, str]]]
    answer: Callable[[Sentence], str]
    codes: tuple[str, ...] = ()


def sortings(domains: Path) -> tuple[Sorting, Sorting]:
    """The ten domains and their halves."""
    return sorting(HERE.parent / "taxonomy.yaml", domains), sorting(HERE / "halves.yaml", HERE / "halves.json")


def sorting(taxonomy: Path, intents: Path) -> Sorting:
    """A taxonomy from its file, with the leaves of the intents from a JSON object leaf -> intents."""
    groups = json.loads(intents.read_text(encoding="utf-8"))
    return Sorting(Taxonomy.load(taxonomy), {intent: leaf for leaf, group in groups.items() for intent in group})


def sentences(path: Path, column: str, known: Mapping[str, str]) -> list[Sentence]:
    """The rows of a CSV, with their text and their intent from `column`; an intent that is not known is `NONE`."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Sentence(row["text"], row[column] if row[column] in known else NONE) for row in csv.DictReader(file)]


def codes_of(taxonomy: Taxonomy) -> dict[str, str]:
    """The letter of each leaf: A for the first of the file. The model knows no other assignment."""
    return dict(zip([leaf.id for leaf in taxonomy.leaves], string.ascii_uppercase, strict=False))


def asked(kind: str, sort: Sorting, examples: Sequence[Sentence], confidence: Callable[[Sentence], float]) -> Asked:
    """How `kind`, a key of `FORMS`, asks about tickets."""
    taxonomy, leaves = sort.taxonomy, sort.leaves
    codes = codes_of(taxonomy)
    shown = [Example(text=example.text, category=leaves[example.intent]) for example in examples]
    if kind == "decision":
        return Asked(decision(taxonomy, shown), lambda sentence: codes[leaves[sentence.intent]], tuple(codes.values()))
    prompt = Prompt(taxonomy, examples=shown, rationale=kind == "rationale")
    form = {
        "code": Form(codes=tuple(codes.values())),
        "code_in_json": Form(codes=tuple(codes.values()), in_json=True),
        "word": Form(codes=tuple(codes)),
    }.get(kind, IDS)

    def messages(text: str) -> list[dict[str, str]]:
        return prompt.render(Question(text=text, categories=taxonomy.leaves), form).as_chat()

    def answer(sentence: Sentence) -> str:
        leaf = leaves[sentence.intent]
        if kind in {"code", "word"}:
            return codes[leaf] if kind == "code" else leaf
        if kind == "code_in_json":
            return json.dumps({"category": codes[leaf]})
        about = f"The customer asks about {sentence.intent.replace('_', ' ')}."
        reason = {"rationale": about} if kind == "rationale" else {}
        return json.dumps({**reason, "category": leaf, "confidence": confidence(sentence)})

    return Asked(messages, answer, tuple(codes.values()) if kind == "code" else ())


def bodies(taxonomy: Taxonomy, examples: Sequence[Example] = ()) -> Callable[[str], dict[str, Any]]:
    """The request about a text that the decisions engine sends."""
    limits = Limits(options=len(string.ascii_uppercase), questions=1)
    choice = choices(taxonomy, taxonomy.leaves, limits, language="en", examples=examples)
    settings = BackendSettings(kind="decisions", model="tiny-clinc", dialect="systemone")
    return lambda text: request_body(settings, "systemone", fenced(text), choice)


def decision(taxonomy: Taxonomy, examples: Sequence[Example]) -> Callable[[str], list[dict[str, str]]]:
    """What vLLM's decisions route lets the model read for such a request."""
    body = bodies(taxonomy, examples)
    ((name, spec),) = body("")["questions"].items()
    question = build_question(name, spec["type"], spec["instructions"], spec["criteria"], len(spec["criteria"]))
    shown = question.type.prompt(question)
    return lambda text: [{"role": "user", "content": f"{body(text)['state']}\n\n{shown}"}]
