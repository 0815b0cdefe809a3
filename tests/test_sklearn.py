"""`TicketClassifier`: what it says, and that it is a scikit-learn classifier."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterable, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import DataConversionWarning, NotFittedError, SkipTestWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import validate_data

from llmtriage import (
    BackendError,
    Category,
    Failure,
    InputError,
    LlmtriageError,
    Prediction,
    Preparation,
    Question,
    Scores,
    Settings,
    SingleLabel,
    Taxonomy,
    Ticket,
    Triage,
    UnknownNameError,
    backends,
)
from llmtriage.sklearn import TicketClassifier
from llmtriage.testing import Answer, ScriptedBackend

PARCEL = ["Where is my parcel?", "包裹还没到", "The courier lost my parcel", "快递把包裹弄丢了"]
REFUND = ["I want a refund", "退款什么时候到账", "When does my refund arrive?", "请给我退款"]
LOGIN = ["I cannot log in", "登录不了账号", "Log in fails with my password", "密码不对，登录失败"]
TEXTS = [text for group in zip(PARCEL, REFUND, LOGIN, strict=True) for text in group]
LABELS = ["parcel", "refund", "login"] * 4
NEW = ["my parcel was lost", "给我退款", "登录失败了"]
SHARES = {"login": 0.6, "refund": 0.3, "other": 0.06, "parcel": 0.03, "privacy": 0.01}


def zero_shot(shop: Taxonomy, script: Any = SHARES, **options: Any) -> TicketClassifier:
    """A classifier over `shop` whose engine answers from a script."""
    return TicketClassifier(taxonomy=shop, backend=ScriptedBackend(script), **options).fit([], [])


def failing(question: Question) -> Answer:
    """A script that has no answer for two kinds of text."""
    if "slow" in question.text:
        return Failure(reason="timeout", detail="no answer in 60 s")
    return Failure(reason="refused", detail="the model refused") if "bad" in question.text else SHARES


# -- what it says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [list, tuple, np.array, partial(np.array, dtype=object), lambda texts: [Ticket(content=text) for text in texts]],
    ids=["list", "tuple", "array", "objects", "tickets"],
)
def test_every_form_of_texts_gives_the_same(form: Any) -> None:
    """Strings or tickets, in any sequence."""
    classifier = TicketClassifier().fit(form(TEXTS), LABELS)
    assert classifier.predict(form(NEW)).tolist() == ["parcel", "refund", "login"]
    assert np.array_equal(classifier.predict_proba(form(NEW)), TicketClassifier().fit(TEXTS, LABELS).predict_proba(NEW))


def test_a_title_counts() -> None:
    """A ticket is prepared as everywhere else."""
    classifier = TicketClassifier().fit(TEXTS, LABELS)
    ticket = Ticket(title="包裹", content="还没到")
    assert np.array_equal(classifier.predict_proba([ticket]), classifier.predict_proba(["包裹\n\n还没到"]))


@pytest.mark.parametrize(
    "names",
    [
        ["物流", "退款", "登录"],
        [7, 0, -3],
        np.array(["物流", "refund", "login"], dtype=object),
        np.array([2, 1, 0], dtype=np.uint8),
    ],
    ids=["zh", "ints", "objects", "uint8"],
)
def test_labels_come_back_as_they_were(names: Any) -> None:
    """In their own type; `classes_` is what numpy's unique gives."""
    y = np.tile(np.array(names), 4)
    classifier = TicketClassifier().fit(TEXTS, y)
    assert classifier.classes_.tolist() == sorted(set(y.tolist()))
    assert classifier.classes_.dtype == y.dtype
    assert classifier.predict(NEW).tolist() == y[:3].tolist()
    assert classifier.predict(NEW).dtype == y.dtype
    assert classifier.score(TEXTS, y) == 1
    assert [leaf.id for leaf in classifier.taxonomy_.leaves] == [str(label) for label in classifier.classes_]


def test_one_text_a_label_is_enough() -> None:
    """Many labels with few texts are a usual beginning, and no reason for a warning."""
    classifier = TicketClassifier().fit([f"问题 {i}" for i in range(30)], [f"类别{i}" for i in range(30)])
    assert len(classifier.classes_) == 30


def test_two_classes_may_be_true_and_false() -> None:
    """A yes-or-no question works like any other."""
    y = [text in PARCEL for text in TEXTS]
    assert TicketClassifier().fit(TEXTS, y).predict(NEW).tolist() == [True, False, False]


def test_with_a_taxonomy_the_classes_are_its_leaves(shop: Taxonomy, tmp_path: Path) -> None:
    """All of them, sorted, whatever `y` holds; columns follow them, not the file."""
    path = tmp_path / "taxonomy.yaml"
    path.write_text(shop.to_yaml(), encoding="utf-8")
    for taxonomy in (shop, path, str(path)):
        classifier = TicketClassifier(taxonomy=taxonomy, backend=ScriptedBackend(SHARES)).fit(["one text"], ["refund"])
        assert classifier.classes_.tolist() == ["login", "other", "parcel", "privacy", "refund"]
        assert classifier.taxonomy_ == shop
        assert classifier.predict_proba(["你好"])[0] == pytest.approx([0.6, 0.06, 0.03, 0.01, 0.3])
        assert classifier.predict(["你好"]).tolist() == ["login"]


def test_no_gate_stands_before_the_engine(shop: Taxonomy) -> None:
    """Empty, tiny and always-reviewed tickets are answered like any other."""
    classifier = zero_shot(shop, {"privacy": 0.9, "other": 0.1})
    assert classifier.predict(["", "?", "删除我的数据"]).tolist() == ["privacy"] * 3
    assert isinstance(classifier.backend, ScriptedBackend)
    assert classifier.backend.asked == 3


def test_no_texts_give_no_answers(shop: Taxonomy) -> None:
    """An empty sequence is a sequence."""
    classifier = zero_shot(shop)
    assert classifier.predict([]).shape == (0,)
    assert classifier.predict_proba([]).shape == (0, 5)


def test_it_says_what_triage_suggests(shop: Taxonomy) -> None:
    """The same engine, made from the same options, gives the same shares."""
    y = [label if label in shop else "other" for label in LABELS]
    triage = Triage(taxonomy=shop, examples=_examples(y), shots=2, seed=3)
    outcomes = list(triage.classify_many(NEW))
    classifier = TicketClassifier(taxonomy=shop, shots=2, random_state=3).fit(TEXTS, y)
    top = [outcome.candidates[0] for outcome in outcomes]
    assert classifier.predict(NEW).tolist() == [candidate.category for candidate in top]
    assert classifier.predict_proba(NEW).max(axis=1) == pytest.approx([candidate.score for candidate in top])


def _examples(y: list[str]) -> list[Any]:
    from llmtriage import Example

    return [Example(text=text, category=label) for text, label in zip(TEXTS, y, strict=True)]


def test_parameters_reach_the_engine(monkeypatch: pytest.MonkeyPatch, shop: Taxonomy) -> None:
    """Shots, settings, language, rationale and the number of examples in a prompt, with which preparation and templates."""
    seen: list[backends.Setup] = []

    def create(name: str, setup: backends.Setup) -> ScriptedBackend:
        seen.append(setup)
        return ScriptedBackend(SHARES, name=name)

    monkeypatch.setattr(backends, "create", create)
    settings = Settings(attempts=7)
    options: dict[str, Any] = {"shots": 2, "prompt_examples": 4, "language": "zh", "rationale": True, "settings": settings}
    classifier = TicketClassifier(taxonomy=shop, backend="mine:x", preparation=Preparation(()), **options)
    classifier.fit(["  one text "] * 3 + TEXTS, ["refund"] * 3 + LABELS)
    assert (len(seen[0].examples), len(seen[0].prompt().examples)) == (6, 4)
    assert seen[0].settings is settings
    assert seen[0].prompt().rationale
    texts = {example.text for example in classifier._recipe[0]["examples"]}
    assert "  one text " in texts


# -- where the engine gives less -----------------------------------------------------------------


def test_a_single_label_has_no_distribution(shop: Taxonomy) -> None:
    """`predict` takes it; `predict_proba` says at once that there is none."""
    classifier = zero_shot(shop, "parcel")
    assert classifier.predict(NEW).tolist() == ["parcel"] * 3
    with pytest.raises(
        InputError, match="scripted gives one label and no distribution; use predict, or an engine that gives scores"
    ):
        classifier.predict_proba(NEW)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_missing_answer_is_raised(shop: Taxonomy, method: str) -> None:
    """With how many there are and the first of them, and without the text."""
    message = (
        r"^scripted gave no answer for 2 of 4 texts; the first is X\[1\]: timeout, no answer in 60 s; "
        r'on_failure="none" marks them$'
    )
    with pytest.raises(LlmtriageError, match=message):
        getattr(zero_shot(shop, failing), method)(["one", "slow 慢", "bad", "two"])


def test_a_missing_answer_can_be_marked(shop: Taxonomy) -> None:
    """None among labels, NaN among shares; scikit-learn's metrics refuse both, so nothing is counted by accident."""
    classifier = zero_shot(shop, failing, on_failure="none")
    labels = classifier.predict(["one", "slow", "bad", "两"])
    assert labels.dtype == object
    assert labels.tolist() == ["login", None, None, "login"]
    assert np.isnan(classifier.predict_proba(["one", "slow"])).all(axis=1).tolist() == [False, True]
    with pytest.raises((TypeError, ValueError)):
        accuracy_score(["login"] * 4, labels)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SingleLabel(category="技术"), "unknown_label"),
        (Scores(values=np.zeros(3)), "bad_response"),
        (Scores(values=np.array([0, np.nan, 0, 0, 0])), "bad_response"),
    ],
    ids=["unknown label", "too few scores", "NaN"],
)
def test_an_answer_that_cannot_be_used_is_none(shop: Taxonomy, answer: Any, reason: str) -> None:
    """Nothing is made up from it."""
    classifier = zero_shot(shop, Prediction(answer=answer, source="votes", model="m"))
    with pytest.raises(LlmtriageError, match=rf"for 1 of 1 texts; the first is X\[0\]: {reason}"):
        classifier.predict(["一"])


def test_an_engine_that_cannot_work_raises(shop: Taxonomy) -> None:
    """Its own error, and one for an engine that loses questions, whatever `on_failure` says."""
    with pytest.raises(BackendError, match="gone"):
        zero_shot(shop, BackendError("gone"), on_failure="none").predict(NEW)

    class Lazy(ScriptedBackend):
        async def _at_once(self, questions: AsyncIterable[Question]) -> AsyncIterator[Prediction | Failure]:
            async for question in questions:
                yield self._answer(question)
                return

    with pytest.raises(BackendError, match="scripted: it answered fewer questions than it was asked"):
        TicketClassifier(taxonomy=shop, backend=Lazy(SHARES)).fit([], []).predict(NEW)


def test_connections_of_an_engine_by_name_are_closed(monkeypatch: pytest.MonkeyPatch, shop: Taxonomy) -> None:
    """After each call, also a broken one; it is fitted in `fit`. An engine handed over is its owner's to fit and to close."""
    events: list[str] = []

    class Server(ScriptedBackend):
        def fit(self) -> None:
            events.append("fit")

        async def aclose(self) -> None:
            events.append("close")

    monkeypatch.setattr(backends, "create", lambda name, _: Server(failing, name=name))
    classifier = TicketClassifier(taxonomy=shop, backend="server").fit([], [])
    assert events == ["fit"]
    classifier.predict(NEW)
    with pytest.raises(LlmtriageError):
        classifier.predict(["bad"])
    assert events == ["fit", "close", "close"]
    TicketClassifier(taxonomy=shop, backend=Server(SHARES)).fit([], []).predict(NEW)
    assert events == ["fit", "close", "close"]


# -- what cannot be used -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_an_unfitted_classifier_says_so(method: str) -> None:
    """As scikit-learn expects."""
    with pytest.raises(NotFittedError):
        getattr(TicketClassifier(), method)(NEW)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("包裹", r"one text, not a sequence of texts; put it in a list: \[text\]"),
        (Ticket(content="包裹"), "one text, not a sequence"),
        (
            np.array([["a"], ["b"]]),
            r'shape \(2, 1\), not a 1-d sequence of texts; take its column: frame\["text"\] or array.ravel\(\)',
        ),
        (np.array([["a", "b"]]), r"shape \(1, 2\), .*; join its columns, or make Ticket objects"),
        (np.array("a"), r"shape \(\)"),
        ([["a"], ["b"]], r"X\[0\] is no text but list; flatten it to one column of texts"),
        (["a", None], r"X\[1\] is no text but NoneType; give strings or Ticket objects, '' for no text"),
        (np.array(["a", np.nan], dtype=object), r"X\[1\] is no text but float"),
        ({"text": ["a"]}, "a dict, not a sequence of texts; give a list, a 1-d array or a Series"),
        ({"a", "b"}, "a set, not a sequence"),
        ((text for text in "ab"), "a generator, not a sequence"),
        (None, "a NoneType, not a sequence"),
    ],
)
def test_texts_that_cannot_be_used(texts: Any, message: str) -> None:
    """The message says what they are and how to mend them, in `fit` and in `predict`."""
    with pytest.raises(InputError, match=f"^X: .*{message}"):
        TicketClassifier().fit(texts, ["a", "b"])
    with pytest.raises(InputError, match=f"^X: .*{message}"):
        TicketClassifier(backend=ScriptedBackend({"a": 1.0})).fit(["a"], ["a"]).predict(texts)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 3, "inconsistent numbers of samples"),
        (None, "y should be a 1d array"),
        (np.linspace(0, 1, 12), "Unknown label type: continuous"),
        ([1.0] * 11 + [np.inf], "Input y contains infinity"),
        ([["a", "b"]] * 12, "y should be a 1d array"),
    ],
)
def test_labels_that_are_none(y: Any, message: str) -> None:
    """Scikit-learn's own errors."""
    with pytest.raises(ValueError, match=message):
        TicketClassifier().fit(TEXTS, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(["退款"] * 11 + [None]), r"y: Unknown label type: y\[11\] is no string but NoneType; label it or leave it out"),
        (
            [*LABELS[:11], " refund"],
            "y: ' refund' cannot be a label: an id is visible text on one line without spaces around it; mend it",
        ),
        ([*LABELS[:11], ""], "y: '' cannot be a label"),
    ],
)
def test_labels_that_cannot_be_used(y: Any, message: str) -> None:
    """The message names the label."""
    with pytest.raises(InputError, match=message):
        TicketClassifier().fit(TEXTS, y)


def test_a_column_of_labels_is_flattened_with_a_warning() -> None:
    """As scikit-learn's classifiers do."""
    with pytest.warns(DataConversionWarning):
        classifier = TicketClassifier().fit(TEXTS, np.array(LABELS).reshape(-1, 1))
    assert classifier.predict(NEW[:1]).tolist() == ["parcel"]


def test_labels_beside_the_taxonomy_are_refused(shop: Taxonomy) -> None:
    """An unknown name, the name of a department, and numbers, which scikit-learn may have put in their place."""
    for label in ("refnud", "sales"):
        with pytest.raises(UnknownNameError, match=f"y: unknown category '{label}'"):
            TicketClassifier(taxonomy=shop).fit(TEXTS, [*LABELS[:11], label])
    message = "y: numbers, while the categories of the taxonomy are text; .* has numbered the labels, leave the taxonomy out"
    with pytest.raises(InputError, match=message):
        cross_val_predict(TicketClassifier(taxonomy=shop), TEXTS, LABELS, cv=2, method="predict_proba")


def test_parameters_that_cannot_be_used() -> None:
    """Found in `fit`, as scikit-learn wants."""
    with pytest.raises(InputError, match='on_failure: unknown: \'majority\'; write "raise" or "none"'):
        TicketClassifier(on_failure="majority").fit(TEXTS, LABELS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="random_state: not an integer"):
        TicketClassifier(random_state=None).fit(TEXTS, LABELS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no labelled texts and no taxonomy"):
        TicketClassifier().fit([], [])


# -- a scikit-learn classifier -------------------------------------------------------------------


class Numbers(TicketClassifier):
    """Reads rows of numbers as texts, so that scikit-learn's checks, which know numbers only, can be run.

    A number becomes the thresholds it reaches, each a word. Checks of numeric input itself (NaN, sparse, number of columns) are
    met by `validate_data` here; all others are met by `TicketClassifier`.
    """

    def fit(self, X: Any, y: Any) -> Numbers:  # noqa: N803
        """Learn from rows."""
        return super().fit(self._written(X, reset=True), y)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Labels of rows."""
        return super().predict(self._written(X))

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Shares of rows."""
        return super().predict_proba(self._written(X))

    def __sklearn_tags__(self) -> Any:
        """It reads rows of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = False, True
        return tags

    def _written(self, rows: Any, *, reset: bool = False) -> list[str]:
        steps = np.linspace(-2, 2, 9)
        checked = validate_data(self, rows, reset=reset)
        return [" ".join(f"x{i}y{j}" for i, x in enumerate(row) for j in np.flatnonzero(x >= steps)) for row in checked]


@parametrize_with_checks([Numbers()])  # type: ignore[untyped-decorator]
def test_every_check_of_scikit_learn_passes(estimator: Any, check: Any) -> None:
    """None is expected to fail once rows are written as texts."""
    check(estimator)


def test_the_checks_are_those_of_a_classifier() -> None:
    """So that a tag which switches them off is noticed."""
    names = {check.func.__name__ for _, check in estimator_checks_generator(Numbers()) if hasattr(check.func, "__name__")}
    wanted = {
        "check_classifiers_classes",
        "check_dict_unchanged",
        "check_estimators_pickle",
        "check_fit_idempotent",
        "check_set_params",
    }
    assert wanted <= names
    assert len(names) > 40


def test_scikit_learn_knows_that_it_reads_texts() -> None:
    """By its tags, so that the checks which write numbers leave it alone."""
    with pytest.warns(SkipTestWarning, match="requires input"):
        results = check_estimator(TicketClassifier())
    assert [(result["check_name"], result["status"]) for result in results] == [("check_estimator_cloneable", "passed")]


def test_a_clone_shares_the_engine_and_all_parameters(shop: Taxonomy) -> None:
    """It is not fitted, and keeps what scikit-learn was told about metadata."""
    classifier = zero_shot(shop, on_failure="none")
    with sklearn.config_context(enable_metadata_routing=True):
        other = clone(classifier.set_score_request(sample_weight=True))
        assert other.get_metadata_routing().score.requests == {"sample_weight": True}
    assert other.get_params() == classifier.get_params()
    assert other.backend is classifier.backend
    assert not hasattr(other, "classes_")


def test_a_fitted_classifier_can_be_pickled_and_copied(shop: Taxonomy) -> None:
    """Both give the same answers; parameters changed since `fit` count from the next `fit` on."""
    classifier = TicketClassifier(taxonomy=shop, shots=2).fit(TEXTS, LABELS)
    shares = classifier.predict_proba(NEW)
    classifier.set_params(shots=None, taxonomy=None)
    for other in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier), classifier):  # noqa: S301
        assert np.array_equal(other.predict_proba(NEW), shares)
        assert other.get_params() == classifier.get_params()
    assert not np.array_equal(classifier.fit(TEXTS, LABELS).predict_proba(NEW)[:, :3], shares[:, :3])


def test_keys_from_the_environment_are_in_no_pickle(monkeypatch: pytest.MonkeyPatch, shop: Taxonomy) -> None:
    """They are read where the engine is made."""
    monkeypatch.setenv("LLMTRIAGE_API_KEY", "sk-secret-1234")
    classifier = TicketClassifier(taxonomy=shop, backend="openai:m@http://127.0.0.1:9/v1").fit(TEXTS, LABELS)
    assert b"sk-secret" not in pickle.dumps(classifier)


def test_a_failed_fit_leaves_what_was_fitted() -> None:
    """The old answers, not a mixture."""
    classifier = TicketClassifier().fit(TEXTS, LABELS)
    before = classifier.predict_proba(NEW)
    with pytest.raises(InputError):
        classifier.fit(TEXTS, [*LABELS[:11], " "])
    assert np.array_equal(classifier.predict_proba(NEW), before)


async def test_it_works_inside_a_running_loop_and_from_threads() -> None:
    """Like all sync methods of the library."""
    classifier = pickle.loads(pickle.dumps(TicketClassifier().fit(TEXTS, LABELS)))  # noqa: S301
    with ThreadPoolExecutor(4) as pool:
        assert {tuple(labels) for labels in pool.map(classifier.predict, [NEW] * 8)} == {("parcel", "refund", "login")}
    assert classifier.predict(NEW).tolist() == ["parcel", "refund", "login"]


def test_pipelines_searches_and_cross_validation() -> None:
    """Steps before it, parameters by name, scores for each fold."""
    opaque = [{"parcel": "a", "refund": "b", "login": "c"}[label] for label in LABELS]
    pipeline = make_pipeline(FunctionTransformer(lambda texts: [text.lower() for text in texts]), TicketClassifier())
    search = GridSearchCV(pipeline, {"ticketclassifier__shots": [0, None]}, cv=2, error_score="raise").fit(TEXTS, opaque)
    assert search.best_params_ == {"ticketclassifier__shots": None}
    assert search.predict(NEW).tolist() == ["a", "b", "c"]
    assert cross_val_score(TicketClassifier(), np.array(TEXTS), LABELS, cv=2, scoring="balanced_accuracy").shape == (2,)
    scores = cross_val_score(TicketClassifier(), TEXTS, LABELS, cv=2, scoring="neg_log_loss", error_score="raise")
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "one"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_it_can_be_calibrated(method: str, ensemble: bool) -> None:  # noqa: FBT001
    """By scikit-learn, over the same classes."""
    calibrated = CalibratedClassifierCV(TicketClassifier(), method=method, cv=2, ensemble=ensemble).fit(TEXTS, LABELS)
    assert calibrated.classes_.tolist() == ["login", "parcel", "refund"]
    assert calibrated.predict_proba(NEW).sum(axis=1) == pytest.approx(1)


def test_a_calibrated_taxonomy_needs_labels_of_all_leaves() -> None:
    """Scikit-learn knows the classes of `y` alone."""
    flat = Taxonomy.from_labels(["parcel", "refund", "login"])
    wider = Taxonomy(categories=(*flat.categories, Category(id="发票")))
    assert CalibratedClassifierCV(TicketClassifier(taxonomy=flat), cv=2).fit(TEXTS, LABELS).predict(NEW).shape == (3,)
    with pytest.raises(ValueError, match="发票"):
        CalibratedClassifierCV(TicketClassifier(taxonomy=wider), cv=2).fit(TEXTS, LABELS).predict_proba(NEW)
