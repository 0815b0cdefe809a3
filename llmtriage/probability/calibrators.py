"""Calibrators: from an engine's scores to probabilities that are true.

A `ScoreCalibrator` turns a log-score for every category into a distribution, `softmax(W z + b)` with z the normalised log-scores and
W = e^a I + D. What is free depends on the method; what is free is drawn towards "change nothing" by a prior, so that few tickets
change little and a category without a ticket keeps its scores. The fit minimises the total

    sum of -ln p(true category)  +  a^2 / (2 * 0.5^2)  +  sum b^2 / (2 sd_b^2)  +  sum D^2 / (2 sd_D^2).

| method | free | sd of b, of D | the first choice | the order of tickets by confidence |
|---|---|---|---|---|
| temperature | a | | kept | kept for two categories only |
| bias | a, b | 0.5 | changes | changes |
| bias-wide | a, b | 2 | changes | changes |
| matrix | a, b, D | 2, 1 | changes | changes |

A `ConfidenceCalibrator` turns the confidence c of a first choice into the chance that it is right; no distribution can be made of
that. `beta`: the logit is a ln c - b ln(1 - c) + m with a, b at least 0.000001. `platt`: the case a = b, at least 0.001. Priors: sd 2 around
(1, 1, 0). `beta-narrow`: beta with sd 0.25, for confidences that are nearly true already. The first choice is kept, and so is the order, but
for confidences within 1e-7 of 0 or of 1, and where the digits of a float end.

A method that keeps the order may share its labels with a certificate; any other must be fitted on labels of its own.

Sources: temperature and matrix, Guo et al. 2017, arXiv:1706.04599; bias (BCTS), Alexandari et al. 2020, arXiv:1901.06852; a matrix
on log-probabilities (Dirichlet), Kull et al. 2019, arXiv:1910.12656; beta, Kull et al. 2017, doi:10.1214/17-EJS1338SI; platt, Platt
1999, "Probabilistic outputs for support vector machines".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import expit

from llmtriage.errors import InputError, UnknownNameError
from llmtriage.probability.fitting import (
    LOG_SLOPE_LIMIT,
    ConfidencePrior,
    Prior,
    fitted_confidence,
    fitted_scores,
    linear,
    unpacked,
)
from llmtriage.probability.scores import Floats, Integers, blocks, check_shape, column, gold_labels, normalised, prepared

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_CLIP = 1e-7  # a confidence nearer to 0 or 1 is rounding


SCORE_METHODS: Mapping[str, Prior] = {
    "temperature": Prior(),
    "bias": Prior(bias=0.5),
    "bias-wide": Prior(bias=2.0),
    "matrix": Prior(bias=2.0, matrix=1.0),
}
"""From the smallest to the largest."""

CONFIDENCE_METHODS: Mapping[str, ConfidencePrior] = {
    "beta": ConfidencePrior((1e-6, 1e-6), 2.0),
    "platt": ConfidencePrior((1e-3,), 2.0),
    "beta-narrow": ConfidencePrior((1e-6, 1e-6), 0.25),
}


class _Estimator:
    """scikit-learn's habits without importing it: parameters that can be read, set and cloned."""

    method: str

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002  # scikit-learn's signature
        """The parameters of the constructor."""
        return {"method": self.method}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters of the constructor.

        Raises:
            UnknownNameError: There is none of that name.
        """
        for name, value in parameters.items():
            if name not in self.get_params():
                raise UnknownNameError.among("parameter", name, self.get_params())
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """As it is written."""
        return f"{type(self).__name__}({self.method!r})"


class ScoreCalibrator(_Estimator):
    """Calibrates a log-score for every category.

    Args:
        method: A name of `SCORE_METHODS`.

    Attributes:
        log_slope_: a; the temperature is e^-a. In [-ln 50, ln 50].
        bias_: b, shape (K,).
        matrix_: D, shape (K, K), a row for each category that comes out; None where it is not free.
        classes_: 0..K-1.
        n_features_in_: K.
        n_tickets_: How many it was fitted on.
        objective_: The total that was minimised, in nats; NaN for one that was read back.

    Example:
        >>> import numpy as np
        >>> scores = np.log([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.3, 0.7]])
        >>> calibrator = ScoreCalibrator("temperature").fit(scores, [0, 1, 1, 1])
        >>> calibrator.predict_proba(scores[:1]).round(2).tolist()
        [[0.82, 0.18]]
    """

    log_slope_: float
    bias_: Floats
    matrix_: Floats | None
    classes_: Integers
    n_features_in_: int
    n_tickets_: int
    objective_: float

    def __init__(self, method: str = "temperature") -> None:
        self.method = method

    def fit(self, scores: ArrayLike, gold: ArrayLike, *, missing: ArrayLike | None = None) -> Self:
        """Learn from labelled tickets.

        Args:
            scores: Shape (n, K), log-scores, however normalised.
            gold: Shape (n,), true categories, 0..K-1.
            missing: Shape (n, K), true where the engine listed no value.

        Raises:
            InputError: The method does not exist, or the arrays cannot be used; see `scores.prepared`.
        """
        _known(SCORE_METHODS, self.method)
        prior = SCORE_METHODS[self.method]
        logs = prepared(scores, missing)
        labels = gold_labels("calibration", gold, *logs.shape)
        k = logs.shape[1]
        found, self.objective_ = fitted_scores(logs, labels, prior)
        self.log_slope_, bias, self.matrix_ = unpacked(found, k, prior)
        self.bias_ = np.zeros(k) if bias is None else bias
        self.n_tickets_ = len(labels)
        self._set_size(k)
        return self

    def predict_log_proba(self, scores: ArrayLike, *, missing: ArrayLike | None = None) -> Floats:
        """The logarithms of the calibrated probabilities, shape (n, K).

        Takes and raises the same as `fit`, without labels; also where it is not fitted or K is another.
        """
        rows = np.asarray(scores)
        logs = np.empty(rows.shape)
        for block, found in self._blocks(rows, missing):
            logs[block] = found
        return logs

    def predict_proba(self, scores: ArrayLike, *, missing: ArrayLike | None = None) -> Floats:
        """The calibrated probabilities, shape (n, K), rows that sum to 1.

        Takes and raises the same as `predict_log_proba`.
        """
        logs = self.predict_log_proba(scores, missing=missing)
        return np.asarray(np.exp(logs, out=logs))

    def predict(self, scores: ArrayLike, *, missing: ArrayLike | None = None) -> Integers:
        """The most probable category, shape (n,); of equal ones the first.

        Takes and raises the same as `predict_log_proba`.
        """
        return np.concatenate([found.argmax(axis=1) for _, found in self._blocks(scores, missing)], dtype=np.int64)

    @property
    def temperature(self) -> float:
        """What scores are divided by: above 1 the engine was too sure.

        Raises:
            InputError: It is not fitted.
        """
        self._check(None)
        return math.exp(-self.log_slope_)

    @property
    def keeps_order(self) -> bool:
        """Whether tickets have the same order by confidence as before.

        Raises:
            InputError: It is not fitted.
        """
        self._check(None)
        return self.method == "temperature" and self.n_features_in_ == 2

    def to_dict(self) -> dict[str, Any]:
        """All that was learnt, as plain data for JSON; `from_dict` gives the very same calibrator back.

        Raises:
            InputError: It is not fitted.
        """
        self._check(None)
        return {
            "method": self.method,
            "tickets": self.n_tickets_,
            "log_slope": self.log_slope_,
            "bias": self.bias_.tolist(),
            "matrix": None if self.matrix_ is None else self.matrix_.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` gave.

        Raises:
            InputError: Something is missing, is there without need, or is no number of the kind.
        """
        method, tickets = _opened(data, SCORE_METHODS, {"log_slope", "bias", "matrix"})
        self, prior = cls(method), SCORE_METHODS[method]
        self.bias_ = _numbers(data, "bias", 1)
        k = len(self.bias_)
        self.log_slope_ = float(_numbers(data, "log_slope", 0))
        self.matrix_ = None if data["matrix"] is None else _numbers(data, "matrix", 2)
        shape = None if self.matrix_ is None else self.matrix_.shape
        if k < 2 or shape != ((k, k) if prior.matrix else None) or (not prior.bias and self.bias_.any()):
            raise _damaged(f"a bias of {k} and a matrix of shape {shape} for {method!r}")
        if abs(self.log_slope_) > LOG_SLOPE_LIMIT:
            raise _damaged("'log_slope' is out of range")
        self.n_tickets_, self.objective_ = tickets, math.nan
        self._set_size(k)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools ask of a classifier."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        targets = TargetTags(required=True, one_d_labels=True)
        return Tags(estimator_type="classifier", target_tags=targets, classifier_tags=ClassifierTags())

    def _blocks(self, scores: ArrayLike, missing: ArrayLike | None) -> Iterator[tuple[slice, Floats]]:
        """The logarithms of the calibrated probabilities, some rows at a time."""
        rows, unseen = np.asarray(scores), None if missing is None else np.asarray(missing)
        self._check(rows.shape)
        if unseen is not None and unseen.shape != rows.shape:
            raise InputError(f"missing labels of shape {unseen.shape} for scores of shape {rows.shape}", remedy="one for each")
        for block in blocks(len(rows)):
            ready = prepared(rows[block], None if unseen is None else unseen[block])
            yield block, normalised(linear(ready, self.log_slope_, self.bias_, self.matrix_))

    def _set_size(self, k: int) -> None:
        self.n_features_in_, self.classes_ = k, np.arange(k)

    def _check(self, shape: tuple[int, ...] | None) -> None:
        if not hasattr(self, "n_features_in_"):
            raise InputError(f"the calibrator {self.method!r} is not fitted", remedy="call fit first")
        if shape is None:
            return
        check_shape("scores", shape)
        if shape[1] != self.n_features_in_:
            raise InputError(f"scores of {shape[1]} categories for a calibrator of {self.n_features_in_}", remedy="fit it anew")


class ConfidenceCalibrator(_Estimator):
    """Calibrates the confidence of a first choice, for engines that give no distribution.

    Args:
        method: A name of `CONFIDENCE_METHODS`.

    Attributes:
        weights_: (a, b) of beta, the slope of platt.
        offset_: m.
        n_tickets_: How many it was fitted on.
        objective_: The total that was minimised, in nats; NaN for one that was read back.

    Example:
        >>> calibrator = ConfidenceCalibrator("beta").fit([0.99, 0.98, 0.97, 0.9, 0.6], [1, 0, 1, 0, 0])
        >>> calibrator.predict([0.99, 0.6]).round(2).tolist()
        [0.66, 0.16]
    """

    weights_: Floats
    offset_: float
    n_tickets_: int
    objective_: float

    keeps_order = True
    """Tickets have the same order by confidence as before, but for those within 1e-7 of 0 or of 1."""

    def __init__(self, method: str = "beta") -> None:
        self.method = method

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> Self:
        """Learn from labelled tickets.

        Args:
            confidence: Shape (n,), in [0, 1].
            correct: Shape (n,), 0 or 1: whether the first choice was right.

        Raises:
            InputError: The method does not exist, or the arrays cannot be used.
        """
        _known(CONFIDENCE_METHODS, self.method)
        features = self._features(confidence)
        right = column("calibration", correct, len(features))
        if not np.isin(right, (0, 1)).all():
            raise InputError("calibration: correct holds other values than 0 and 1", remedy="say of each ticket if it was right")
        found, self.objective_ = fitted_confidence(features, right.astype(np.float64), CONFIDENCE_METHODS[self.method])
        self.weights_, self.offset_, self.n_tickets_ = found[:-1], float(found[-1]), len(right)
        return self

    def predict(self, confidence: ArrayLike) -> Floats:
        """The chance that the first choice is right, shape (n,), in [0, 1].

        Args:
            confidence: Shape (n,), in [0, 1].

        Raises:
            InputError: It is not fitted, or the confidences cannot be used.
        """
        self._check()
        return np.asarray(expit(self._features(confidence) @ self.weights_ + self.offset_))

    def to_dict(self) -> dict[str, Any]:
        """All that was learnt, as plain data for JSON; `from_dict` gives the very same calibrator back.

        Raises:
            InputError: It is not fitted.
        """
        self._check()
        weights = self.weights_.tolist()
        return {"method": self.method, "tickets": self.n_tickets_, "weights": weights, "offset": self.offset_}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` gave.

        Raises:
            InputError: Something is missing, is there without need, or is no number of the kind.
        """
        method, tickets = _opened(data, CONFIDENCE_METHODS, {"weights", "offset"})
        self, lowest = cls(method), CONFIDENCE_METHODS[method].lowest
        self.weights_, self.offset_ = _numbers(data, "weights", 1), float(_numbers(data, "offset", 0))
        if len(self.weights_) != len(lowest) or (self.weights_ < lowest).any():
            raise _damaged(f"'weights' of {method!r} are out of range")
        self.n_tickets_, self.objective_ = tickets, math.nan
        return self

    def _features(self, confidence: ArrayLike) -> Floats:
        certainty = column("calibration", confidence).astype(np.float64)
        if not ((certainty >= 0) & (certainty <= 1)).all():
            raise InputError("calibration: a confidence is not in [0, 1]", remedy="give the engine's own number, from 0 to 1")
        certainty = np.clip(certainty, _CLIP, 1 - _CLIP)
        sure, unsure = np.log(certainty), -np.log1p(-certainty)
        return np.column_stack([sure, unsure] if self.method != "platt" else [sure + unsure])

    def _check(self) -> None:
        if not hasattr(self, "weights_"):
            raise InputError(f"the calibrator {self.method!r} is not fitted", remedy="call fit first")


def calibrator(method: str) -> ScoreCalibrator | ConfidenceCalibrator:
    """The unfitted calibrator of that name.

    Raises:
        UnknownNameError: There is none.

    Example:
        >>> calibrator("bias-wide")
        ScoreCalibrator('bias-wide')
    """
    if method in CONFIDENCE_METHODS:
        return ConfidenceCalibrator(method)
    _known([*SCORE_METHODS, *CONFIDENCE_METHODS], method)
    return ScoreCalibrator(method)


def from_dict(data: Mapping[str, Any]) -> ScoreCalibrator | ConfidenceCalibrator:
    """The fitted calibrator that `to_dict` of either kind wrote, with the same numbers to the last bit.

    Raises:
        InputError: It is not what `to_dict` wrote.
    """
    return type(calibrator(_method(data))).from_dict(data)


def _known(methods: Collection[str], method: str) -> None:
    if method not in methods:
        raise UnknownNameError.among("calibrator", str(method), methods)


def _method(data: Any) -> str:
    if not isinstance(data, Mapping) or not isinstance(data.get("method"), str):
        raise _damaged("'method' is missing")
    return str(data["method"])


def _opened(data: Mapping[str, Any], methods: Collection[str], fields: set[str]) -> tuple[str, int]:
    method = _method(data)
    _known(methods, method)
    fields = {"method", "tickets", *fields}
    for name in sorted(fields ^ set(data)):
        raise _damaged(f"{name!r} is {'missing' if name in fields else 'unknown'}")
    tickets = data["tickets"]
    if type(tickets) is not int or tickets < 1:
        raise _damaged("'tickets' is no count")
    return method, tickets


def _numbers(data: Mapping[str, Any], name: str, dimensions: int) -> Floats:
    try:
        values = np.array(data[name])
    except ValueError:
        raise _damaged(f"{name!r} has rows of several lengths") from None
    if values.dtype.kind not in "iuf" or values.ndim != dimensions or not np.isfinite(values).all():
        raise _damaged(f"{name!r} is not what was written")
    return values.astype(np.float64)


def _damaged(problem: str) -> InputError:
    return InputError(f"a stored calibrator cannot be read: {problem}", remedy="calibrate anew")
