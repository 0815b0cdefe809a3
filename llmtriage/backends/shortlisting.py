"""A shortlist where a question has more options than fit: by the lexical engine, with the share of right ones that it misses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmtriage.backends.lexical import LexicalBackend
from llmtriage.backends.readings.many import Shortlist, narrowed
from llmtriage.probability.readings import chance_left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llmtriage.backends.readings.many import Node
    from llmtriage.predictions import Example, Floats
    from llmtriage.taxonomy import Taxonomy

    Weights = Callable[[str], Floats]

_FEWEST = 50  # labelled examples; with fewer, what the lexical engine itself thinks of the rest is all there is
_MOST = 2000  # examples that are enough to measure one share
_FOLDS = 5


def shortlist_for(taxonomy: Taxonomy, examples: Sequence[Example], root: Node, most: int) -> Shortlist | None:
    """A shortlist for the questions below `root` that have more than `most` options; None where none has.

    How often it misses the right option is measured by cross-validation on `examples`. It takes seconds: call it in a thread.
    """
    if all(len(node.options) <= most for node in root.walk()):
        return None
    known = [example for example in examples if example.category in {leaf.id for leaf in taxonomy.leaves}]
    left_out = _measured(taxonomy, known, root, most) if len(known) >= _FEWEST else None
    return Shortlist(_weights(LexicalBackend(taxonomy, known)), left_out)


def _weights(engine: LexicalBackend) -> Weights:
    return lambda text: np.exp(engine.log_scores([text])[0])


def _measured(taxonomy: Taxonomy, examples: Sequence[Example], root: Node, most: int) -> float:
    """The probability that a list leaves the right option out, over all questions that need one."""
    order = np.random.default_rng(0).permutation(len(examples))[:_MOST]
    columns = {leaf.id: column for column, leaf in enumerate(taxonomy.leaves)}
    wide = [node for node in root.walk() if len(node.options) > most]
    hits = tried = 0
    for fold in range(_FOLDS):
        held = [examples[i] for i in order[fold::_FOLDS]]
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
