"""A shortlist where a question has more options than fit: by the lexical engine, with the share of right ones that it misses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmtriage.backends.lexical import LexicalBackend
from llmtriage.backends.readings.many import Shortlist, narrowed
from llmtriage.kept import Kept
from llmtriage.probability.readings import chance_left_out
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llmtriage.backends.readings.many import Node
    from llmtriage.predictions import Example, Floats
    from llmtriage.taxonomy import Taxonomy

    Weights = Callable[[str], Floats]

_FEWEST = (
    50  # labelled examples that a list may miss; with fewer, what the lexical engine itself thinks of the rest is all there is
)
_MOST = 2000  # examples that are enough to measure one share
_FOLDS = 5
_KEPT = Kept("shortlists.json", 1)


def shortlist_for(
    taxonomy: Taxonomy,
    examples: Sequence[Example],
    root: Node,
    most: int,
    *,
    cache_dir: Path | None = None,
    measure: bool = True,
) -> Shortlist | None:
    """A shortlist for the questions below `root` that have more than `most` options; None where none has.

    How often it misses the right option is measured by cross-validation on `examples`, and the engine is fitted. It takes seconds, with
    thousands of examples half a minute, and is kept for the next time: call it in a thread.

    Args:
        taxonomy: The tree.
        examples: Labelled texts to learn from.
        root: The questions.
        most: Options of one question.
        cache_dir: Where what was fitted is kept; None: nowhere.
        measure: Whether its misses are measured; if not, the engine is fitted when it is first used.
    """
    if all(len(node.options) <= most for node in root.walk()):
        return None
    leaves = {leaf.id for leaf in taxonomy.leaves}
    known = [example for example in examples if example.category in leaves]
    enough = measure and len(_tested(taxonomy, known, root, most)) >= _FEWEST
    left_out = _measured_once(taxonomy, known, root, most) if enough else None
    engine = LexicalBackend(taxonomy, known, cache_dir=cache_dir)
    if measure:
        engine.fit()
    ids = tuple(leaf.id for leaf in taxonomy.leaves)
    return Shortlist(_weights(engine), left_out, digest(dict(engine.fingerprint())), ids)


def _weights(engine: LexicalBackend) -> Weights:
    return lambda text: np.exp(engine.log_scores([text])[0])


def _measured_once(taxonomy: Taxonomy, examples: Sequence[Example], root: Node, most: int) -> float:
    questions = [[option.id for option in node.options] for node in root.walk()]
    key = digest([taxonomy.hash, [[example.text, example.category] for example in examples], questions, most])
    kept = (_KEPT.get(key) or {}).get("left_out")
    if isinstance(kept, float) and 0 < kept < 1:
        return kept
    left_out = _measured(taxonomy, examples, root, most)
    _KEPT.put({"left_out": left_out}, key)
    return left_out


def _tested(taxonomy: Taxonomy, examples: Sequence[Example], root: Node, most: int) -> list[Example]:
    """Those whose category a list may leave out: they stand below a question that is too wide."""
    columns = {leaf.id: column for column, leaf in enumerate(taxonomy.leaves)}
    below = {column for node in root.walk() if len(node.options) > most for own in node.columns for column in own}
    return [example for example in examples if columns[example.category] in below]


def _measured(taxonomy: Taxonomy, examples: Sequence[Example], root: Node, most: int) -> float:
    """The probability that a list leaves the right option out, over all questions that need one."""
    tested = _tested(taxonomy, examples, root, most)
    order = np.random.default_rng(0).permutation(len(tested))[:_MOST]
    columns = {leaf.id: column for column, leaf in enumerate(taxonomy.leaves)}
    wide = [node for node in root.walk() if len(node.options) > most]
    hits = tried = 0
    for fold in range(_FOLDS):
        held = [tested[i] for i in order[fold::_FOLDS]]
        texts = {example.text for example in held}
        engine = LexicalBackend(taxonomy, [example for example in examples if example.text not in texts])
        rows = np.exp(engine.log_scores([example.text for example in held]))
        for example, row in zip(held, rows, strict=True):
            for node in wide:
                place = next((i for i, own in enumerate(node.columns) if columns[example.category] in own), None)
                if place is not None:
                    tried += 1
                    hits += place in narrowed(node, row, most)[0]
    return chance_left_out(hits, tried)
