"""Which codes suit a model best? Measured on labelled examples that no prompt shows, and kept, so that the next run has the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from llmtriage.errors import InputError, RefusedFieldError
from llmtriage.kept import Kept
from llmtriage.predictions import Prediction, Question, Scores
from llmtriage.probability.readings import tempered_log_loss
from llmtriage.streams import as_async
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmtriage.backends.logprobs import LogprobBackend
    from llmtriage.backends.readings.codes import CodeKind
    from llmtriage.backends.tokenizing import Tokenizer
    from llmtriage.backends.ways import Ways
    from llmtriage.predictions import Example
    from llmtriage.taxonomy import Category

_KEPT = Kept("codes.json", 1)
_HELD_OUT = 60  # examples on which codes are compared
_FEWEST = 40  # fewer say nothing about which codes are better
_KINDS: tuple[CodeKind, ...] = ("letters", "random", "words")


async def with_best_codes(
    ways: Ways, engine: LogprobBackend, tokenizer: Tokenizer
) -> tuple[LogprobBackend, Mapping[CodeKind, float]]:
    """The engine with the codes of the least log loss on held-out examples, and the losses of all kinds that were compared.

    Args:
        ways: Makes the engines to compare.
        engine: The one to begin with; it stays where nothing can be compared.
        tokenizer: Tells which codes are one token.
    """
    examples = held_out(ways)
    if not _compares(ways, engine) or len(examples) < _FEWEST:
        return engine, {}
    key = _key(ways, engine, examples)
    losses = _kept(key)
    engines = await _engines(ways, engine, tokenizer, _KINDS if losses is None else (_best(losses),))
    if losses is None:
        losses = {kind: loss for kind, other in engines.items() if (loss := await _log_loss(other, examples)) is not None}
        if losses:
            _KEPT.put({"losses": losses}, *key)
    if not losses or _best(losses) not in engines:
        return engine, {}
    return engines[_best(losses)], losses


async def _engines(
    ways: Ways, engine: LogprobBackend, tokenizer: Tokenizer, kinds: Sequence[CodeKind]
) -> dict[CodeKind, LogprobBackend]:
    """Engines that differ from `engine` in their codes alone, as far as there can be any."""
    engines: dict[CodeKind, LogprobBackend] = {}
    for kind in kinds:
        if kind == "words" and engine.way.turns > 1:  # words cannot change places
            continue
        try:
            other = await ways.made(engine.speaker, engine.way.place, engine.way.lists, tokenizer, kind)
            engines[kind] = await ways.with_way(other, replace(other.way, model=engine.way.model))
        except InputError:
            continue
    return engines


def held_out(ways: Ways) -> list[Example]:
    """Labelled examples that no prompt shows, spread over the categories."""
    prompt = ways.prompt
    shown = {example.text for example in prompt.examples}
    leaves = {leaf.id for leaf in prompt.taxonomy.leaves}
    by_category: dict[str, list[Example]] = {}
    for example in ways.options.examples:
        if example.text not in shown and example.category in leaves:
            by_category.setdefault(example.category, []).append(example)
    turns = max(map(len, by_category.values()), default=0)
    spread = [group[turn] for turn in range(turns) for group in by_category.values() if turn < len(group)]
    return spread[:_HELD_OUT]


def _compares(ways: Ways, engine: LogprobBackend) -> bool:
    codes = ways.settings.codes
    return codes == "best" or (codes == "auto" and ways.settings.kind.startswith("vllm") and engine.way.place == "token")


def _key(ways: Ways, engine: LogprobBackend, examples: Sequence[Example]) -> tuple[str, ...]:
    """What the comparison depends on."""
    pairs = [[example.text, example.category] for example in examples]
    asked = [ways.prompt.taxonomy.hash, dict(engine.fingerprint()), pairs]
    return ways.transport.endpoint.url, engine.way.model or ways.settings.model, digest(asked)


def _kept(key: tuple[str, ...]) -> Mapping[CodeKind, float] | None:
    losses = (_KEPT.get(*key) or {}).get("losses")
    if not isinstance(losses, dict):
        return None
    found = {kind: losses[kind] for kind in _KINDS if isinstance(losses.get(kind), float)}
    return found or None


def _best(losses: Mapping[CodeKind, float]) -> CodeKind:
    return min(losses, key=lambda kind: losses[kind])


async def _log_loss(engine: LogprobBackend, examples: Sequence[Example]) -> float | None:
    """The mean log loss on labelled texts, each after a temperature fitted on the other half; nats. None: too few were answered."""
    categories: tuple[Category, ...] = engine.prompt.taxonomy.leaves
    questions = [Question(text=example.text, categories=categories) for example in examples]
    try:
        answers = [answer async for answer in engine.predict(as_async(questions), online=False)]
    except RefusedFieldError:
        return None
    columns = {category.id: column for column, category in enumerate(categories)}
    pairs = [
        (answer.answer.values, columns[example.category])
        for answer, example in zip(answers, examples, strict=True)
        if isinstance(answer, Prediction) and isinstance(answer.answer, Scores)
    ]
    if len(pairs) < _FEWEST // 2:
        return None
    values, gold = np.stack([row for row, _ in pairs]), np.array([column for _, column in pairs])
    folds = np.random.default_rng(0).permutation(len(gold)) % 2  # the examples alternate between categories
    return float(tempered_log_loss(values, gold, folds).mean())
