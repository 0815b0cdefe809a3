"""The calibration file: what turns an engine's scores into probabilities, what may be accepted, and all that this holds under."""

from __future__ import annotations

import json
import math
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmtriage.errors import CalibrationError, InputError, short
from llmtriage.probability.calibrators import ConfidenceCalibrator, ScoreCalibrator, from_dict
from llmtriage.probability.candidates import CandidateRule
from llmtriage.taxonomy import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.predictions import Floats, Scores

FORMAT: Literal["llmtriage calibration"] = "llmtriage calibration"
Answer = Literal["leaf", "department"]

_MOVED = 0.1
_LARGEST = 50_000_000  # bytes; a matrix for 1,000 categories has half of that

# The parts of the contract in words; others are called by their keys.
_WORDS = {
    "engine": "model",
    "answers_as": "model that answers",
    "prompt": "prompt",
    "examples": "set of examples",
    "options": "setting of the engine",
    "method": "method of the engine",
    "reading": "way of reading",
    "codes": "set of codes",
    "taxonomy": "taxonomy",
    "policy": "policy (teams, rules, gates)",
    "select": "choice of examples",
    "prepare": "preparation of texts",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Labels(_Part):
    """The labelled tickets behind a calibration.

    Attributes:
        file: The name of the file they stood in.
        drawn: How they were drawn: "uniform", or a sample's name.
        n: All of them.
        left_out: Of these, those that stand among the engine's examples and were not used.
        fitted: Tickets that the calibrator was fitted on.
        certified: Tickets that the promise was made on. The two parts share tickets only where the calibrator keeps their order.
        outside: Certified tickets that belong to the catch-all category.
    """

    file: str
    drawn: str
    n: Annotated[int, Field(ge=1)]
    left_out: Annotated[int, Field(ge=0)]
    fitted: Annotated[int, Field(ge=1)]
    certified: Annotated[int, Field(ge=0)]
    outside: Annotated[int, Field(ge=0)]


class Promise(_Part):
    """What may be accepted, and the evidence; see `llmtriage.probability.certificate`.

    Attributes:
        categories: The answers that it is about.
        alpha: The largest share of wrong tickets among those accepted.
        delta: The probability over labelled samples that the promise does not hold.
        threshold: The least number of the calibrator that is accepted; None: any. In terms of the confidence that is shown it is
            `Calibration.least_confidence`.
        n: Labelled tickets with these answers that were certified.
        accepted: Of these, those accepted.
        errors: Of those accepted, the wrong ones.
        wrong_at: Where wrong ones stand in the order of confidence, from 1.
        need: `need[j]` is the number of accepted tickets from which j errors are tolerated; empty: the threshold was fixed beforehand.
        crossing: The probability that the rule passes in the worst world, at most delta.
    """

    categories: Annotated[tuple[str, ...], Field(min_length=1)]
    alpha: Annotated[float, Field(gt=0, le=0.5)]
    delta: Annotated[float, Field(gt=0, le=0.5)]
    threshold: float | None
    n: Annotated[int, Field(ge=1)]
    accepted: Annotated[int, Field(ge=1)]
    errors: Annotated[int, Field(ge=0)]
    wrong_at: tuple[int, ...]
    need: tuple[int, ...]
    crossing: Annotated[float, Field(ge=0, le=1)]


class Witness(_Part):
    """What the engine said of one labelled ticket, to be asked again one day; the text itself is not kept.

    Attributes:
        text: The hash of the prepared text.
        category: What was offered.
        confidence: How probable that was.
    """

    text: str
    category: str
    confidence: float


class Calibration(_Part):
    """Everything a calibration file holds.

    Attributes:
        format, version: What the file is.
        words, words_zh: What it promises, for people, in English and Chinese.
        made: The day.
        by: The version of llmtriage.
        answer: What is offered as the answer: a leaf, or the department above it.
        floor: No ticket with a smaller number of the calibrator is accepted: the labelled tickets were drawn above it. None: they were drawn
            among all.
        reach: The share of all tickets that have at least that much.
        calibrator: As `llmtriage.probability.calibrators` writes it.
        offer: As that writes it, too: what makes of the calibrator's number for the offered answer the confidence that is shown. It rises, so it
            changes nobody's place, and it was fitted on the tickets that the promise was made on. None: the number is shown as it is.
        calibrated: Whether its numbers may be called probabilities: it was fitted on 50 tickets or more.
        promises: One for each group of answers with a limit of their own. Empty while it is being made, in a plan: then everything is accepted that
            no gate stops.
        delta: The probability over labelled samples that one of the promises does not hold.
        candidates: Which categories are shown for a ticket that waits, and how often the right one is among them.
        labels: Where it comes from.
        contract: All that its numbers depend on, by name, as hashes or words.
        witnesses: What was said of some of the tickets: a model that changes behind its name says something else.
    """

    format: Literal["llmtriage calibration"] = FORMAT
    version: Literal[1] = 1
    words: str
    words_zh: str = ""
    made: date
    by: str
    answer: Answer
    floor: Annotated[float, Field(ge=0, le=1)] | None = None
    reach: Annotated[float, Field(gt=0, le=1)] = 1.0
    calibrator: dict[str, Any]
    offer: dict[str, Any] | None = None
    calibrated: bool
    promises: tuple[Promise, ...] = ()
    delta: Annotated[float, Field(gt=0, le=0.5)] | None = None
    candidates: CandidateRule = CandidateRule()
    labels: Labels
    contract: dict[str, str]
    witnesses: tuple[Witness, ...] = ()

    # -- the file ------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path, *, plan: bool = False) -> Calibration:
        """Read a file that `save` wrote.

        Args:
            path: The file.
            plan: It is to be a plan, which has no promise yet; else a calibration, which has one.

        Raises:
            InputError: The file cannot be read, was changed by hand, is cut off, is from another version, or is the other of the two.
        """
        file = Path(path)
        data = _json(file)
        if data.get("format") != FORMAT:
            raise InputError("not a calibration", file=file, remedy="make one with llmtriage calibrate")
        if data.get("version") != 1:
            problem = f"version {short(str(data.get('version')))} of the format, this llmtriage reads version 1"
            raise InputError(problem, file=file, remedy="calibrate anew, or use the llmtriage that made it")
        seal = data.pop("seal", None)
        if seal != digest(data):
            raise InputError("it was changed after it was made", file=file, remedy="calibrate anew")
        try:
            found = cls.model_validate(data)
            found.fitted, found.fitted_offer  # noqa: B018 - a calibrator that cannot be read is found here
        except (ValidationError, InputError) as error:
            raise InputError("a part of it cannot be read", file=file, remedy="calibrate anew") from error
        if plan and found.promises:
            raise InputError("a calibration, not a plan", file=file, remedy="name the file that llmtriage plan wrote")
        if not plan and not found.promises:
            raise InputError("a plan, not a calibration", file=file, remedy="label its tickets, then llmtriage calibrate --plan")
        return found

    def save(self, path: str | Path) -> None:
        """Write the file. Raises InputError if that is not possible."""
        data = self.model_dump(mode="json")
        text = json.dumps({**data, "seal": digest(data)}, ensure_ascii=False, indent=1, allow_nan=False)
        try:
            Path(path).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", file=path, remedy="name another place") from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, without what was worked out from the parts that change."""
        copy = super().model_copy(update=update, deep=deep)
        for name in set(copy.__dict__) - set(type(self).model_fields):
            del copy.__dict__[name]
        return copy

    @cached_property
    def hash(self) -> str:
        """Identity of all of it."""
        return digest(self.model_dump(mode="json"))

    # -- what it holds under -------------------------------------------------------------------

    def check(self, contract: Mapping[str, str]) -> None:
        """Compare with what a run would be made of.

        Args:
            contract: `Triage.contract()`.

        Raises:
            CalibrationError: Something differs; the error names all of it.
        """
        names = [name for name in {**self.contract, **contract} if self.contract.get(name) != contract.get(name)]
        if names:
            raise CalibrationError(tuple(dict.fromkeys(_in_words(name) for name in names)))

    def moved(self, text: str, category: str | None, confidence: float | None) -> bool | None:
        """Whether the engine now says something else of a ticket: another category, or the same with a confidence that differs by over 0.1.

        Args:
            text: The prepared text.
            category: What is offered now; None: nothing.
            confidence: How probable that is.

        Returns:
            None: the ticket is no witness.
        """
        known = self._witnesses.get(digest(text))
        if known is None:
            return None
        return category != known.category or confidence is None or abs(confidence - known.confidence) > _MOVED

    @cached_property
    def _witnesses(self) -> dict[str, Witness]:
        return {witness.text: witness for witness in self.witnesses}

    # -- numbers -------------------------------------------------------------------------------

    @cached_property
    def fitted(self) -> ScoreCalibrator | ConfidenceCalibrator:
        """The calibrator."""
        return from_dict(self.calibrator)

    @cached_property
    def fitted_offer(self) -> ConfidenceCalibrator | None:
        """What stands in `offer`. Raises InputError if it is no calibrator for confidences."""
        return None if self.offer is None else ConfidenceCalibrator.from_dict(self.offer)

    def log_probabilities(self, scores: Scores) -> Floats:
        """The logarithms of the probabilities of one ticket's categories, shape (K,).

        A category that the engine did not list has the bound that its reading gave it; that is its share of what was left.

        Raises:
            InputError: It was fitted on single labels, or the scores cannot be used.
        """
        if isinstance(self.fitted, ConfidenceCalibrator):
            raise InputError("this calibration is for single labels, not for scores", remedy="calibrate anew")
        return np.asarray(self.fitted.predict_log_proba(scores.values[None])[0])

    def confidence(self, number: float) -> float:
        """The chance that a single label with the model's own `number` is right, in [0, 1].

        Raises:
            InputError: It was fitted on scores.
        """
        if isinstance(self.fitted, ScoreCalibrator):
            raise InputError("this calibration is for scores, not for single labels", remedy="calibrate anew")
        return float(self.fitted.predict(np.array([number]))[0])

    def shown(self, number: float) -> float:
        """The confidence that is shown for an offered answer: how probable it is that it is right, in [0, 1].

        It keeps the order of numbers; those that differ in the last digits only may be shown alike. So what is accepted is decided on the
        number itself, never on this.

        Args:
            number: Of the calibrator, in [0, 1].
        """
        return number if self.fitted_offer is None else float(self.fitted_offer.predict(np.array([number]))[0])

    def least_confidence(self, category: str) -> float | None:
        """`threshold` as the confidence that is shown."""
        threshold = self.threshold(category)
        return threshold if threshold is None or math.isinf(threshold) else self.shown(threshold)

    def threshold(self, category: str) -> float | None:
        """The least number of the calibrator with which this answer is accepted where no gate stops the ticket.

        Minus infinity: any; None: nothing is promised.
        """
        if not self.promises:
            return -math.inf if self.floor is None else self.floor
        if category not in self._promised:
            return None
        limits = (self._promised[category].threshold, self.floor)
        return max((limit for limit in limits if limit is not None), default=-math.inf)

    @cached_property
    def _promised(self) -> dict[str, Promise]:
        return {category: promise for promise in self.promises for category in promise.categories}


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError("too large for a calibration", file=file, remedy="name the file that llmtriage calibrate wrote")
        data = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except _TwiceError:
        raise InputError("it was changed after it was made: a key stands twice", file=file, remedy="calibrate anew") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, remedy="check the path") from None
    except (ValueError, RecursionError):
        raise InputError("not whole: no JSON", file=file, remedy="name the file that llmtriage calibrate wrote") from None
    return data if isinstance(data, dict) else {}


class _TwiceError(Exception):
    """A key stands twice in an object; of such the seal sees one only."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def _in_words(name: str) -> str:
    return _WORDS.get(name) or _WORDS.get(name.partition(".")[0]) or name
