"""`TicketClassifier`: an engine as a scikit-learn classifier, for pipelines, searches and comparisons with other models.

It says what the engine says: no gate, no threshold, no calibration, no person behind it. To route tickets use `llmtriage.Triage`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from llmtriage.errors import BackendError, InputError, LlmtriageError, UnknownNameError, short
from llmtriage.predictions import Example, Failure, Floats, Question, SingleLabel
from llmtriage.prepare import Preparation, prepare
from llmtriage.protocols import Backend
from llmtriage.settings import Settings
from llmtriage.streams import PrivateLoop
from llmtriage.taxonomy import Taxonomy
from llmtriage.tickets import Ticket
from llmtriage.triage import PROMPT_EXAMPLES, Triage

if TYPE_CHECKING:
    import numpy.typing as npt

    from llmtriage.predictions import Prediction

__all__ = ["TicketClassifier"]

_Answer = Floats | int | Failure  # log-scores in the order of the classes, or the place of a single label among them
_KEPT_BY_CLONES = ("_metadata_request", "_skl_callbacks")  # what scikit-learn's own `clone` keeps besides the parameters


class TicketClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Sorts texts with an engine of llmtriage.

    Texts are strings or `Ticket` objects, in a list, a 1-d array or a Series. `predict` gives the engine's first choice for each
    text, also for an empty one. `predict_proba` gives its scores, which sum to 1 and are **not calibrated**.

    Cloning shares an engine that was given as an object. A pickle holds the labelled texts and, if they were given, the settings
    with their keys; it holds no fitted model, so an engine that learns does so again on its first use.

    Some of scikit-learn puts numbers in the place of labels before `fit`: `cross_val_predict(method="predict_proba")`,
    `CalibratedClassifierCV(ensemble=False)`, `VotingClassifier`, `StackingClassifier`. An engine that reads the names of
    categories then sees "0", "1", ..., and a given taxonomy is refused. `CalibratedClassifierCV` with a taxonomy needs a `y`
    that has all its leaves.

    Args:
        taxonomy: A taxonomy or the path of its YAML file; None: a flat one of the labels in `y`, by name alone.
        backend: An engine's name (see `llmtriage.backends`), or an engine; give a name where processes are involved.
        shots: Examples a category for engines that learn; None: all.
        prompt_examples: The most examples shown in a prompt, in all.
        random_state: An int: of the draw of examples.
        preparation: The steps of cleaning; None: all of them.
        prompts: A folder of templates; None: the shipped ones.
        language: "en" or "zh": of the prompt.
        rationale: Ask a chat model why, before it chooses.
        settings: Of engines; None: from the environment.
        on_failure: For texts the engine gives no answer for: "raise", or "none" to mark them: None in `predict` (which then gives
            objects), a row of NaN in `predict_proba`. The metrics of scikit-learn take neither: leave such rows out first.

    Attributes:
        classes_: The labels, sorted: those of `y`, or all leaves of the given taxonomy. `predict_proba` has a column for each.
        taxonomy_: What is chosen among.

    Example:
        >>> texts = ["Where is my parcel?", "The courier lost the parcel", "退款什么时候到账", "Please refund me"]
        >>> classifier = TicketClassifier().fit(texts, ["parcel", "parcel", "refund", "refund"])
        >>> classifier.predict(["parcel not arrived", "我的退款呢"]).tolist()
        ['parcel', 'refund']
    """

    def __init__(
        self,
        *,
        taxonomy: Taxonomy | str | Path | None = None,
        backend: Backend | str = "lexical",
        shots: int | None = None,
        prompt_examples: int = PROMPT_EXAMPLES,
        random_state: int = 0,
        preparation: Preparation | None = None,
        prompts: str | Path | None = None,
        language: str = "en",
        rationale: bool = False,
        settings: Settings | None = None,
        on_failure: Literal["raise", "none"] = "raise",
    ) -> None:
        self.taxonomy = taxonomy
        self.backend = backend
        self.shots = shots
        self.prompt_examples = prompt_examples
        self.random_state = random_state
        self.preparation = preparation
        self.prompts = prompts
        self.language = language
        self.rationale = rationale
        self.settings = settings
        self.on_failure = on_failure

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn from labelled texts, or show some of them in the prompt, as the engine does.

        Args:
            X: The texts. With a taxonomy there may be none: `fit([], [])` asks without examples.
            y: Their labels: strings, or numbers, whose digits are then the names of categories.

        Raises:
            InputError: A parameter, a text or a label cannot be used.
            ValueError: `y` is no column of labels as long as `X`.
        """
        self._check_parameters()
        tickets, labels = _tickets(X), _labels(y)
        check_consistent_length(tickets, labels)
        taxonomy, classes = self._categories(labels)
        preparation = self.preparation or Preparation.default()
        pairs = zip(tickets, labels, strict=True)
        examples = tuple(Example(text=prepare(ticket, preparation).text, category=str(label)) for ticket, label in pairs)
        recipe = self._options(taxonomy, examples), tuple(str(label) for label in classes)
        engine = _Engine(*recipe)
        engine.fit()
        self._recipe, self._engine, self.taxonomy_, self.classes_ = recipe, engine, taxonomy, classes
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The engine's first choice for each text.

        Raises:
            BackendError: The engine cannot work.
            LlmtriageError: It gave no answer for some texts, under `on_failure="raise"`.
        """
        answers = list(self._asked(X))
        self._complain(answers)
        if self.on_failure == "none":
            labels = [*self.classes_.astype(object), None]
            return np.array([labels[-1 if isinstance(answer, Failure) else _best(answer)] for answer in answers], dtype=object)
        best = [_best(answer) for answer in answers if not isinstance(answer, Failure)]
        return np.asarray(self.classes_[np.array(best, dtype=np.intp)])

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """The engine's scores as shares, shape (n, K), columns in the order of `classes_`; not calibrated.

        Raises:
            BackendError: The engine cannot work.
            InputError: It gives single labels and has no distribution.
            LlmtriageError: It gave no answer for some texts, under `on_failure="raise"`.
        """
        rows: list[Floats | Failure] = []
        with closing(self._asked(X)) as answers:
            for answer in answers:
                if isinstance(answer, int):
                    problem = f"{self._ready().name} gives one label and no distribution"
                    raise InputError(problem, field="backend", remedy="use predict, or an engine that gives scores")
                rows.append(answer)
        self._complain(rows)
        nothing = np.full(len(self.classes_), np.nan)
        shares = [nothing if isinstance(row, Failure) else softmax(row) for row in rows]
        return np.array(shares, dtype=np.float64).reshape(len(rows), len(self.classes_))

    # -- what scikit-learn asks of an estimator --------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        """It reads a 1-d sequence of texts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def __sklearn_clone__(self) -> Self:
        """Parameters are shared, not copied: they cannot change, and copies of an engine could not share its connections."""
        clone = type(self)(**self.get_params(deep=False))
        clone.__dict__.update({name: value for name, value in vars(self).items() if name in _KEPT_BY_CLONES})
        return clone

    def __getstate__(self) -> dict[str, Any]:
        """All but the engine, which holds locks and connections and is made again on first use."""
        return {name: value for name, value in super().__getstate__().items() if name != "_engine"}

    # -- inside ----------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        if self.on_failure not in ("raise", "none"):
            raise InputError(f"unknown: {short(repr(self.on_failure))}", field="on_failure", remedy='write "raise" or "none"')
        if not isinstance(self.random_state, int | np.integer):
            raise InputError("not an integer", field="random_state", remedy="give one: draws are always reproducible")

    def _categories(self, labels: npt.NDArray[Any]) -> tuple[Taxonomy, npt.NDArray[Any]]:
        """The taxonomy and its leaves as labels, sorted."""
        seen = np.unique(labels)
        if self.taxonomy is None:
            return _flat(seen), seen
        taxonomy = self.taxonomy if isinstance(self.taxonomy, Taxonomy) else Taxonomy.load(self.taxonomy)
        leaves = [leaf.id for leaf in taxonomy.leaves]
        if len(seen) and not isinstance(seen[0], str):
            remedy = "give ids of categories; where scikit-learn has numbered the labels, leave the taxonomy out"
            raise InputError("numbers, while the categories of the taxonomy are text", field="y", remedy=remedy)
        for unknown in (label for label in seen.tolist() if label not in leaves):
            raise UnknownNameError.among("category", unknown, leaves, field="y")
        return taxonomy, np.unique(np.array(leaves))

    def _options(self, taxonomy: Taxonomy, examples: tuple[Example, ...]) -> dict[str, Any]:
        """What the engine is made from, also after a change of parameters or in another process."""
        others = ("backend", "shots", "prompt_examples", "preparation", "prompts", "language", "rationale", "settings")
        made_from = {name: getattr(self, name) for name in others}
        return {**made_from, "seed": int(self.random_state), "taxonomy": taxonomy, "examples": examples}

    def _ready(self) -> _Engine:
        if "_engine" not in vars(self):
            self._engine = _Engine(*self._recipe)
        return self._engine

    def _asked(self, texts: Any) -> Generator[_Answer, None, None]:
        check_is_fitted(self)
        return self._ready().answers(_tickets(texts))

    def _complain(self, answers: Sequence[_Answer]) -> None:
        failures = [(index, answer) for index, answer in enumerate(answers) if isinstance(answer, Failure)]
        if failures and self.on_failure == "raise":
            index, first = failures[0]
            what = f"{self._ready().name} gave no answer for {len(failures)} of {len(answers)} texts"
            first_one = f"the first is X[{index}]: {first.reason}, {first.detail}"
            raise LlmtriageError(f'{what}; {first_one}; on_failure="none" marks them')


class _Engine:
    """An engine and the order of the classes."""

    def __init__(self, options: Mapping[str, Any], classes: Sequence[str]) -> None:
        triage = Triage(**options)
        leaves = [leaf.id for leaf in triage.taxonomy.leaves]
        self._triage = triage
        self._is_ours = isinstance(options["backend"], str)
        self._columns = np.array([leaves.index(label) for label in classes], dtype=np.intp)
        self._places = {label: place for place, label in enumerate(classes)}

    @property
    def name(self) -> str:
        return self._triage.backend.name

    def fit(self) -> None:
        """Let an engine that learns do it now."""
        fit = getattr(self._triage.backend, "fit", None)
        if self._is_ours and fit is not None:
            fit()

    def answers(self, tickets: Sequence[Ticket]) -> Generator[_Answer, None, None]:
        """One answer for each ticket; connections last as long as the loop they belong to: one call."""
        triage, loop = self._triage, PrivateLoop()
        categories, preparation = triage.taxonomy.leaves, triage.preparation
        questions = (Question(text=prepare(ticket, preparation).text, categories=categories) for ticket in tickets)
        try:
            yield from map(self._read, loop.stream(self._predict, questions))
        finally:
            aclose = getattr(triage.backend, "aclose", None)
            if self._is_ours and aclose is not None:
                loop.run(aclose())

    async def _predict(self, questions: AsyncIterator[Question]) -> AsyncIterator[Prediction | Failure]:
        async for answer in self._triage.backend.predict(questions, online=False):
            yield answer
        # Reaches only a caller who still waits for an answer.
        raise BackendError("it answered fewer questions than it was asked", backend=self.name)

    def _read(self, answer: Prediction | Failure) -> _Answer:
        if isinstance(answer, Failure):
            return answer
        if isinstance(answer.answer, SingleLabel):
            unknown = Failure(reason="unknown_label", detail="the engine named no category of the taxonomy")
            return self._places.get(answer.answer.category, unknown)
        values = answer.answer.values
        if values.shape != self._columns.shape or not np.isfinite(values).all():
            return Failure(reason="bad_response", detail="the engine's scores are not finite numbers, one a category")
        return values[self._columns]


def _best(answer: Floats | int) -> int:
    return answer if isinstance(answer, int) else int(answer.argmax())


def _tickets(texts: Any) -> list[Ticket]:
    """The texts as tickets; raises InputError."""
    _check_form(texts)
    tickets = []
    for index, text in enumerate(texts):
        if not isinstance(text, str | Ticket):
            nested = isinstance(text, list | tuple | np.ndarray)
            remedy = "flatten it to one column of texts" if nested else "give strings or Ticket objects, '' for no text"
            raise InputError(f"X[{index}] is no text but {short(type(text).__name__)}", field="X", remedy=remedy)
        tickets.append(text if isinstance(text, Ticket) else Ticket(content=text))
    return tickets


def _check_form(texts: Any) -> None:
    if isinstance(texts, str | Ticket):
        raise InputError("one text, not a sequence of texts", field="X", remedy="put it in a list: [text]")
    shape = getattr(texts, "shape", None)
    if shape is not None and len(shape) != 1:
        one = len(shape) == 2 and shape[1] == 1
        remedy = 'take its column: frame["text"] or array.ravel()' if one else "join its columns, or make Ticket objects"
        raise InputError(f"an array of shape {tuple(shape)}, not a 1-d sequence of texts", field="X", remedy=remedy)
    if isinstance(texts, Mapping | AbstractSet) or not (hasattr(texts, "__len__") and hasattr(texts, "__iter__")):
        problem = f"a {short(type(texts).__name__)}, not a sequence of texts"
        raise InputError(problem, field="X", remedy="give a list, a 1-d array or a Series")


def _labels(y: Any) -> npt.NDArray[Any]:
    """The labels as a 1-d array of strings or of numbers."""
    labels: npt.NDArray[Any] = column_or_1d(y, warn=True)
    if not len(labels):
        return labels.astype(str)
    if labels.dtype == object:
        _check_strings(labels)
    elif labels.dtype.kind != "U":  # of strings scikit-learn has nothing to say but that few for a label may be measurements
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
    return labels


def _check_strings(labels: npt.NDArray[Any]) -> None:
    for index, label in enumerate(labels):
        if not isinstance(label, str):
            problem = f"Unknown label type: y[{index}] is no string but {short(type(label).__name__)}"
            remedy = "label it or leave it out; labels are all strings, or an array of integers"
            raise InputError(problem, field="y", remedy=remedy)


def _flat(labels: npt.NDArray[Any]) -> Taxonomy:
    """A taxonomy of labels alone."""
    if not len(labels):
        raise InputError("no labelled texts and no taxonomy", field="X", remedy="give one of them")
    names = [str(label) for label in labels]
    for name in names:
        try:
            Taxonomy.from_labels([name])
        except InputError as error:
            raise InputError(f"{short(repr(name))} cannot be a label: {error.problem}", field="y", remedy="mend it") from None
    return Taxonomy.from_labels(names)
