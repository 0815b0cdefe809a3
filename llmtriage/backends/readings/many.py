"""More categories than one question takes: down the tree, or from a shortlist. What to ask next, and what the answers say together.

The steps are generators: they yield what to ask at once, are sent the answers, and return the whole. They neither send nor wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np

from llmtriage.backends.prompted import summed
from llmtriage.errors import InputError
from llmtriage.predictions import Failure, Prediction, Scores
from llmtriage.probability.readings import averaged, widened

if TYPE_CHECKING:
    from llmtriage.predictions import Floats, Question
    from llmtriage.probability.readings import Bools
    from llmtriage.taxonomy import Category, Taxonomy

Many = Literal["auto", "tree", "shortlist", "all"]

_WORTH = 0.02  # probability from which on a part of the tree is asked about; what is less likely shares it equally
_LEAST = 1e-6  # probability that what a shortlist leaves out keeps at least
_TINY = 1e-300  # stands for a weight that was too small for a number


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a model.

    Attributes:
        categories: What it chooses among: leaves, or nodes of the tree.
        within: The id of the node that the ticket is taken to belong to; None: nothing is known.
        turn: Which of how many assignments of codes, (0, 1) for the usual one.
    """

    categories: tuple[Category, ...]
    within: str | None = None
    turn: tuple[int, int] = (0, 1)


Answer = Prediction | Failure
Steps = Generator[Sequence[Ask], Sequence[Answer], Answer]


@dataclass(frozen=True, slots=True)
class Node:
    """A question of the tree.

    Attributes:
        within: The id of the node whose parts are chosen among; None at the top.
        options: The parts.
        columns: For each option, where its leaves stand among all categories.
        below: For options with several leaves, the question about them.
    """

    within: str | None
    options: tuple[Category, ...]
    columns: tuple[tuple[int, ...], ...]
    below: Mapping[int, Node]

    def walk(self) -> Generator[Node]:
        """This question and all below it."""
        yield self
        for node in self.below.values():
            yield from node.walk()


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Chooses what is asked about where a question has more options than fit.

    Attributes:
        weights: Text -> shape (K,), positive weights of all categories.
        left_out: The probability that the right one is not on the list, in (0, 1); None: what the weights say.
        learnt: Identity of what the weights come from.
        ids: Of the categories, in the order of the weights; empty: those of every question in theirs.
    """

    weights: Callable[[str], Floats]
    left_out: float | None = None
    learnt: str = ""
    ids: tuple[str, ...] = field(default=(), repr=False)

    def among(self, categories: Sequence[Category]) -> Shortlist:
        """The same for the categories of one question, in their order; what is not known weighs nothing."""
        wanted = tuple(category.id for category in categories)
        if not self.ids or wanted == self.ids:
            return self
        columns = {name: column for column, name in enumerate(self.ids)}
        places = [columns.get(name, -1) for name in wanted]
        return replace(self, ids=wanted, weights=lambda text: np.append(self.weights(text), 0.0)[places])


def divided(taxonomy: Taxonomy, categories: Sequence[Category], most: int, many: Many = "auto") -> Node:
    """The questions about `categories`, no wider than needed.

    Where they do not all fit one question, the tree is asked from its top; with "shortlist" never, with "all" everything is one question.

    Args:
        taxonomy: The tree.
        categories: Leaves.
        most: Options of one question.
        many: How more of them are asked about.

    Raises:
        InputError: Only the tree is allowed, and a level of it is wider than a question.
    """
    paths = [
        taxonomy.path(category.id) if many in ("auto", "tree") and category.id in taxonomy else (category,)
        for category in categories
    ]
    root = _node(None, list(enumerate(paths)), most)
    wide = next((node for node in root.walk() if len(node.options) > most), None)
    if many == "tree" and wide is not None:
        where = repr(wide.within) if wide.within else "the top of the taxonomy"
        problem = f"{where} has {len(wide.options)} parts, and one question takes {most}"
        raise InputError(problem, field="many", remedy="group them in the taxonomy, or allow a shortlist with --many auto")
    return root


def _node(within: str | None, paths: list[tuple[int, tuple[Category, ...]]], most: int) -> Node:
    """The question about leaves with their paths from below `within` down."""
    if len(paths) <= most or all(len(path) == 1 for _, path in paths):
        return Node(within, tuple(path[-1] for _, path in paths), tuple((column,) for column, _ in paths), {})
    groups: dict[str, list[tuple[int, tuple[Category, ...]]]] = {}
    for column, path in paths:
        groups.setdefault(path[0].id, []).append((column, path))
    if len(groups) == 1:  # a chain: the node has one part
        return _node(paths[0][1][0].id, [(column, path[1:]) for column, path in paths], most)
    options, columns, below = [], [], {}
    for place, members in enumerate(groups.values()):
        _, path = members[0]
        options.append(path[0] if len(members) > 1 else path[-1])
        columns.append(tuple(column for column, _ in members))
        if len(members) > 1:
            below[place] = _node(path[0].id, [(column, path[1:]) for column, path in members], most)
    return Node(within, tuple(options), tuple(columns), below)


def descent(root: Node, text: str, *, most: int, shortlist: Shortlist | None = None, turn: tuple[int, int] = (0, 1)) -> Steps:
    """Ask from the top; below it only what may hold the answer. Probabilities multiply along the path and sum to 1.

    Leaves of a part that was not asked about share its probability equally and count as missing.

    Args:
        root: The questions.
        text: Of the ticket, for the shortlist.
        most: Options of one question.
        shortlist: Narrows questions that are wider.
        turn: Which assignment of codes.
    """
    count = sum(map(len, root.columns))
    values, missing, masses = np.zeros(count), np.zeros(count, dtype=np.bool_), np.ones(count)
    waiting = [(root, 0.0, 1.0)]
    answers: list[Prediction] = []
    seconds = 0.0
    while waiting:
        lists = [_listed(node, text, most, shortlist) for node, _, _ in waiting]
        nodes = [node for node, _, _ in waiting]
        said = yield [
            Ask(tuple(node.options[place] for place in kept), node.within, turn)
            for node, (kept, _, _) in zip(nodes, lists, strict=True)
        ]
        seconds += max(answer.seconds for answer in said)
        failed = next((answer for answer in said if isinstance(answer, Failure)), None)
        if failed is not None:
            return replace(failed, usage=reduce(summed, [answer.usage for answer in (*answers, *said)]), seconds=seconds)
        predicted = [answer for answer in said if isinstance(answer, Prediction)]
        answers += predicted
        further = []
        for (node, log, mass), (kept, shares, left_out), answer in zip(waiting, lists, predicted, strict=True):
            scores = answer.answer
            assert isinstance(scores, Scores)  # noqa: S101 - these engines give nothing else
            logs, unseen = _of_all(scores, kept, shares, left_out)
            whole = mass * (math.nan if scores.label_mass is None else scores.label_mass)
            for place, columns in enumerate(node.columns):
                at = list(columns)
                reached = log + float(logs[place])
                values[at] = reached - math.log(len(at))
                missing[at] = unseen[place] or len(at) > 1
                masses[at] = whole
                if place in node.below and not unseen[place] and (reached >= math.log(_WORTH) or logs[place] == logs.max()):
                    further.append((node.below[place], reached, whole))
        waiting = further
    values -= np.logaddexp.reduce(values)
    mass = float(np.exp(values) @ masses)
    return Prediction(
        answer=Scores(values=values, missing=missing, label_mass=None if math.isnan(mass) else min(mass, 1.0)),
        source=answers[0].source,
        model=answers[0].model,
        usage=reduce(summed, [answer.usage for answer in answers]),
        seconds=seconds,
        read=answers[0].read,
    )


def turned(make: Callable[[tuple[int, int]], Steps], turns: int, between: tuple[float, float] | None) -> Steps:
    """The mean over several assignments of codes.

    Args:
        make: The steps with one assignment.
        turns: How many assignments.
        between: Only for tickets whose largest probability with the first one lies within these; None: for all.
    """
    first = yield from make((0, turns))
    if isinstance(first, Failure) or not isinstance(first.answer, Scores):
        return first
    surest = math.exp(first.answer.values.max())
    if between is not None and not between[0] <= surest <= between[1]:
        return first
    answers, found = [first], [first.answer]
    for turn in range(1, turns):
        answer = yield from make((turn, turns))
        if isinstance(answer, Failure) or not isinstance(answer.answer, Scores):
            return _together(answer, [*answers, answer])
        answers.append(answer)
        found.append(answer.answer)
    masses = [scores.label_mass for scores in found if scores.label_mass is not None]
    scores = Scores(
        values=averaged(np.stack([scores.values for scores in found])),
        missing=np.any([unseen_of(scores) for scores in found], axis=0),
        label_mass=sum(masses) / len(masses) if masses else None,
    )
    return _together(replace(first, answer=scores), answers)


def _together(answer: Answer, answers: Sequence[Answer]) -> Answer:
    """`answer` with what all took that were asked one after the other."""
    usage = reduce(summed, [one.usage for one in answers])
    return replace(answer, usage=usage, seconds=sum(one.seconds for one in answers))


def _listed(node: Node, text: str, most: int, shortlist: Shortlist | None) -> tuple[list[int], Floats, float]:
    """The options that are asked about, the weights of all, and the probability that the right one is none of them."""
    count = len(node.options)
    if count <= most or shortlist is None:
        return list(range(count)), np.full(count, 1 / count), 0.0
    kept, shares = narrowed(node, shortlist.weights(text), most)
    left_out = float(1 - shares[kept].sum()) if shortlist.left_out is None else shortlist.left_out
    return kept, shares, min(max(left_out, _LEAST), 1 - _LEAST)


def narrowed(node: Node, weights: Floats, most: int) -> tuple[list[int], Floats]:
    """The `most` heaviest options in their order, the one that is or holds the catch-all always among them, and the shares of all.

    Args:
        node: The question.
        weights: Shape (K,), of all categories.
        most: Options that fit.
    """
    sums = np.array([max(weights[list(columns)].sum(), _TINY) for columns in node.columns])
    last = [place for place, option in enumerate(node.options) if any(below.catch_all for below in option.walk())]
    best = [int(place) for place in np.argsort(-sums, kind="stable") if place not in last]
    return sorted([*last, *best][:most]), sums / sums.sum()


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A question that fits, and the way back to all categories.

    Attributes:
        question: With as many categories as fit.
        kept: Where they stand among all; None: they are all.
        shares: Shape (K,), the weights of all.
        left_out: The probability that the right one is not asked about.
    """

    question: Question
    kept: tuple[int, ...] | None = None
    shares: Floats | None = None
    left_out: float = 0.0

    def whole(self, answer: Prediction) -> Prediction:
        """The answer with a score for every category."""
        scores = answer.answer
        if self.kept is None or self.shares is None or not isinstance(scores, Scores):
            return answer
        values, unseen = _of_all(scores, list(self.kept), self.shares, self.left_out)
        return replace(answer, answer=Scores(values=values, missing=unseen, label_mass=scores.label_mass))


def narrowed_question(question: Question, root: Node, most: int, shortlist: Shortlist | None) -> Narrowed:
    """The question about a flat list, with the options of its shortlist alone."""
    among = shortlist and shortlist.among(question.categories)
    kept, shares, left_out = _listed(root, question.text, most, among)
    categories = tuple(root.options[place] for place in kept)
    return Narrowed(replace(question, categories=categories), tuple(kept), shares, left_out)


def _of_all(scores: Scores, kept: list[int], shares: Floats, left_out: float) -> tuple[Floats, Bools]:
    """Log-scores of all options of a question, and which of them were not asked about or not seen."""
    if len(kept) == len(shares):
        return scores.values, unseen_of(scores)
    unseen = np.ones(len(shares), dtype=np.bool_)
    unseen[kept] = unseen_of(scores)
    return widened(scores.values, np.array(kept), shares, left_out), unseen


def unseen_of(scores: Scores) -> Bools:
    """Shape (K,), true where a value is a bound or a share."""
    return np.zeros(len(scores.values), dtype=np.bool_) if scores.missing is None else scores.missing
