"""The embedded engine: word and character n-grams under a linear model. No network, no key, no GPU.

It is a baseline, not an LLM. It sees which letters a ticket shares with the words of a category and with labelled tickets; it
knows no synonyms, no negation and no language it was not shown. From names alone expect half the accuracy of many labels.

The method, the same with and without labelled examples:

1. A text becomes TF-IDF weights of hashed words, pairs of words and character n-grams (in Chinese: n-grams of signs).
2. Likeness: the cosine of ticket and category text (id, name, description, includes, names of the nodes above), nearest language.
3. Evidence: multinomial logistic regression learns from the labelled texts and, as one more each, from the category texts. Half
   of its prior is removed (Menon et al. 2021, "Long-tail learning via logit adjustment", arXiv:2007.07314, tau = 1/2): a labelled
   file rarely has tomorrow's frequencies. A category without examples is taken to be as frequent as the others.
4. Log-score = sharpness * known * (evidence + fade * likeness), normalised. Likeness fades as a category gets examples. `known`
   is the share of the ticket's n-grams seen before: a text of unknown words prefers nothing. The sharpness is fitted on held-out
   examples, so that the log-loss is sane; that is no calibration and promises nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
import time
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import log_softmax

from llmtriage.backends.batching import batches
from llmtriage.errors import UnknownNameError
from llmtriage.grams import Grams, hashed, tfidf
from llmtriage.predictions import Example, Prediction, Scores, Usage
from llmtriage.taxonomy import Category, LocalText, Taxonomy, digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence

    from llmtriage.grams import Floats32, Hashes
    from llmtriage.predictions import Floats, Question

METHOD = "lexical-1"
"""Changes whenever the same taxonomy and examples would give other scores."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_REGULARISATION = 30.0  # C of the logistic regression
_STEPS = 100_000  # of the solver, spread over the examples: 5 to 20 passes; early stopping is part of the method
_FADE = 2.0
_SHARPNESS = 1.75
_SHARPNESS_WITHOUT_EXAMPLES = 20.0  # of cosines, which seldom reach 0.5
_FOLDS = 5
_HELD_OUT = 500  # held-out examples that are enough to fit one number
_MOST_NUMBERS = 2**22  # of a matrix that is written out with its zeros: 16 MiB
_CACHED_FILES = 20
_ONE_AT_A_TIME = (
    threading.Lock()
)  # filters of warnings belong to the process: the first fit to end would switch on those of another


class LexicalBackend:
    """Scores every leaf of a taxonomy from its words and from labelled examples; implements `llmtriage.protocols.Backend`.

    The model is fitted on first use. `Question.examples` are ignored: this engine learns from the examples it was made with.

    Privacy: a file in `cache_dir` holds weights under 32-bit hashes of the words and fragments of tickets. Who guesses a word can
    test whether tickets held it, so treat the folder like the tickets. Without any examples nothing is cached.

    Args:
        taxonomy: What to choose among.
        examples: Labelled texts; their order does not matter, repetitions do not count.
        cache_dir: Where fitted models are kept, by content; None: nowhere. See `llmtriage.settings.default_cache_dir`.
        batch_size: How many questions are scored together at most.

    Raises:
        UnknownNameError: An example names a category that is no leaf.
    """

    answers_together = True

    def __init__(
        self, taxonomy: Taxonomy, examples: Sequence[Example] = (), *, cache_dir: Path | None = None, batch_size: int = 512
    ) -> None:
        self._column = {leaf.id: i for i, leaf in enumerate(taxonomy.leaves)}
        self._taxonomy = taxonomy
        self._examples = _sorted(examples, self._column)
        learns = bool(self._examples) or any(leaf.examples for leaf in taxonomy.leaves)
        self._cache = (
            _Cache(cache_dir) if cache_dir is not None and learns else None
        )  # comparing texts is quicker than reading a file
        self._batch_size = batch_size
        self._grams = Grams()
        self._model: _Model | None = None
        self._fitting = threading.Lock()

    @property
    def name(self) -> str:
        """Always "lexical"."""
        return "lexical"

    def fingerprint(self) -> Mapping[str, str]:
        """The method and the examples; library versions are left out, because they move scores by rounding only."""
        return {"engine": "lexical", "method": METHOD, "examples": digest(self._examples)}

    def fit(self) -> None:
        """Fit now, or load what was fitted before, instead of on first use."""
        self._fitted()

    def log_scores(self, texts: Sequence[str]) -> Floats:
        """Normalised log-scores, shape (n, K), columns in the order of `Taxonomy.leaves`; always finite."""
        model = self._fitted()
        return model.log_scores(*self._grams.count(texts, model.vocabulary))

    async def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction]:  # noqa: ARG002 - always quick
        """Answer each question, in their order, computing in a worker thread.

        Raises:
            UnknownNameError: A question names a category that is no leaf.
        """
        async with aclosing(batches(questions, self._batch_size)) as stream:
            async for batch in stream:
                for prediction in await asyncio.to_thread(self._answers, batch):
                    yield prediction

    def _answers(self, batch: Sequence[Question]) -> list[Prediction]:
        self.fit()
        start = time.perf_counter()
        rows = self.log_scores([question.text for question in batch])
        answers = self._among(batch, rows)
        seconds = (time.perf_counter() - start) / len(batch)
        usage = Usage(prompt_tokens=0, output_tokens=0)
        return [Prediction(answer=a, source="lexical", model=METHOD, usage=usage, seconds=seconds) for a in answers]

    def _among(self, batch: Sequence[Question], rows: Floats) -> list[Scores]:
        """The scores of each question's own categories; mostly all questions have the same ones."""
        if all(question.categories is batch[0].categories for question in batch):
            return [Scores(values=values) for values in log_softmax(rows[:, self._columns(batch[0].categories)], axis=1)]
        pairs = zip(batch, rows, strict=True)
        return [Scores(values=log_softmax(row[self._columns(question.categories)])) for question, row in pairs]

    def _columns(self, categories: Iterable[Category]) -> list[int]:
        ids = [category.id for category in categories]
        for unknown in (i for i in ids if i not in self._column):
            raise UnknownNameError.among("category", unknown, self._column)
        return [self._column[i] for i in ids]

    def _fitted(self) -> _Model:
        with self._fitting:
            if self._model is None:
                self._model = self._load_or_fit()
            return self._model

    def _load_or_fit(self) -> _Model:
        made_with = {"scikit-learn": version("scikit-learn"), "unicode": unicodedata.unidata_version}
        key = digest({"taxonomy": self._taxonomy.hash, **self.fingerprint(), **made_with})
        model = self._cache.load(key) if self._cache else None
        if model is None:
            model = _fit(self._taxonomy, {(text, self._column[category]) for text, category in self._examples}, self._grams)
            if self._cache:
                self._cache.save(key, model)
        return model


def _sorted(examples: Iterable[Example], known: Mapping[str, int]) -> list[tuple[str, str]]:
    pairs = {(example.text, example.category) for example in examples}
    for unknown in sorted({category for _, category in pairs if category not in known}):
        raise UnknownNameError.among("category", unknown, known, field="example")
    return sorted(pairs)


def _wordings(taxonomy: Taxonomy, leaf: Category) -> list[str]:
    """What a category is called and said to hold, one text per language; the id counts as English."""
    said = (leaf.name, leaf.description, *leaf.includes, *(node.name for node in taxonomy.path(leaf.id)[:-1]))
    parts: list[LocalText] = [{"en": leaf.id}, *(text for text in said if text is not None)]
    languages = {"en"}.union(*(part for part in parts if not isinstance(part, str)))
    wordings = {language: [part if isinstance(part, str) else part.get(language, "") for part in parts] for language in languages}
    return sorted({"\n".join(wording) for wording in wordings.values()})


class _Linear(NamedTuple):
    """Evidence for each category, and how much its likeness adds."""

    coef: Floats32  # (d, K)
    bias: Floats  # (K,)
    fade: Floats  # (K,)

    def scores(self, x: sparse.csr_matrix, likeness: Floats) -> Floats:
        return x @ self.coef + self.bias + self.fade * likeness


class _Model(NamedTuple):
    """What a fit leaves."""

    vocabulary: Hashes  # (d,), sorted
    idf: Floats32  # (d,)
    wordings: sparse.csr_matrix | Floats32  # (d, V), the category texts, grouped by category
    first: Ints  # (K,), the row of each category's first wording
    linear: _Linear
    sharpness: float

    def log_scores(self, counts: sparse.csr_matrix, known: Floats) -> Floats:
        """Normalised log-scores of texts with these n-gram counts."""
        x = tfidf(counts, self.idf)
        scores = self.linear.scores(x, _likeness(x, self.wordings, self.first))
        return np.asarray(log_softmax(self.sharpness * known * scores, axis=1))


def _fit(taxonomy: Taxonomy, given: set[tuple[str, int]], grams: Grams) -> _Model:
    wordings = [_wordings(taxonomy, leaf) for leaf in taxonomy.leaves]
    described = [(text, k) for k, texts in enumerate(wordings) for text in texts]
    labelled = sorted(given.union((text, k) for k, leaf in enumerate(taxonomy.leaves) for text in leaf.examples))
    texts, y = [text for text, _ in described + labelled], np.array([k for _, k in described + labelled])
    vocabulary, df = grams.vocabulary(texts)
    idf = (np.log((1 + len(texts)) / (1 + df)) + 1).astype(np.float32)
    x = tfidf(grams.count(texts, vocabulary)[0], idf)
    words, first = _by_gram(x[: len(described)]), np.cumsum([0, *(len(w) for w in wordings[:-1])])
    is_label = np.arange(len(texts)) >= len(described)
    # By the text, so that no ticket is held out while its copy is learnt from. Those of the taxonomy are no sample of tickets.
    folds = np.array([-1] * len(described) + [hashed(row[0]) % _FOLDS if row in given else -1 for row in labelled])
    with _ONE_AT_A_TIME, warnings.catch_warnings(), ThreadPoolExecutor(1) as other_core:
        warnings.simplefilter("ignore")  # the solver stops early on purpose, and many categories with few examples are usual
        linear = other_core.submit(_learn, x, y, is_label)
        sharpness = _fit_sharpness(x, y, is_label, _likeness(x, words, first), folds) if labelled else _SHARPNESS_WITHOUT_EXAMPLES
        return _Model(vocabulary, idf, words, first, linear.result(), sharpness)


def _learn(x: sparse.csr_matrix, y: Ints, is_label: Bools) -> _Linear:
    """Evidence from labelled rows and from category texts, of which every category has one."""
    categories = int(y.max()) + 1
    if categories == 1 or not is_label.any():
        return _Linear(np.zeros((x.shape[1], categories), np.float32), np.zeros(categories), np.ones(categories))
    coef, bias = _regression(x, y)
    examples = np.bincount(y[is_label], minlength=categories)
    log_rows = np.log(np.bincount(y))
    without = examples == 0
    bias -= np.where(without, log_rows - log_rows[~without].mean() / 2, log_rows / 2)
    return _Linear(coef, bias, _FADE / (1 + examples))


def _regression(x: sparse.csr_matrix, y: Ints) -> tuple[Floats32, Floats]:
    from sklearn.linear_model import LogisticRegression

    passes = min(20, max(5, _STEPS // len(y)))
    model = LogisticRegression(C=_REGULARISATION, solver="saga", max_iter=passes, random_state=0)
    model.fit(x, y)
    coef, bias = model.coef_.T, model.intercept_.astype(np.float64)
    if coef.shape[1] == 1:  # of two categories scikit-learn gives the log-odds of the second
        coef, bias = np.hstack([-coef / 2, coef / 2]), np.concatenate([-bias / 2, bias / 2])
    return np.ascontiguousarray(coef, np.float32), bias


def _fit_sharpness(x: sparse.csr_matrix, y: Ints, is_label: Bools, likeness: Floats, folds: Ints) -> float:
    """The factor with the smallest log-loss on held-out examples, drawn to the usual one where these are few."""
    factors = np.geomspace(0.25, 16, 121)
    loss = (np.log(factors / _SHARPNESS) / 0.35) ** 2 / 2
    held_out = 0
    for fold in range(_FOLDS):
        out, rest = folds == fold, folds != fold
        if held_out >= _HELD_OUT or not out.any() or not is_label[rest].any():
            continue
        scores = _learn(x[rest], y[rest], is_label[rest]).scores(x[out], likeness[out])
        gold = np.arange(len(scores)), y[out]
        loss -= [log_softmax(factor * scores, axis=1)[gold].sum() for factor in factors]
        held_out += len(scores)
    return float(factors[np.argmin(loss)])


def _by_gram(texts: sparse.csr_matrix) -> sparse.csr_matrix | Floats32:
    """Texts by n-gram, (d, V), as products want them: where they are few with all zeros, which takes half the time."""
    turned = sparse.csr_matrix(texts.T)
    return turned.toarray() if np.prod(turned.shape) <= _MOST_NUMBERS else turned


def _likeness(x: sparse.csr_matrix, wordings: sparse.csr_matrix | Floats32, first: Ints) -> Floats:
    """The cosine of each text with the nearest wording of each category, shape (n, K)."""
    cosines = x @ wordings
    plain = cosines.toarray() if sparse.issparse(cosines) else cosines
    return np.maximum.reduceat(plain.astype(np.float64), first, axis=1)


class _Cache:
    """Fitted models in a folder for this user alone; trouble with it costs time, never a ticket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> _Model | None:
        path = self._path(key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                model = _unpacked(stored) if json.loads(str(stored["about"])) == {"key": key} else None
        except Exception:  # noqa: BLE001 - whatever is wrong with the file, fitting again mends it
            return None
        with suppress(OSError):  # it may be read-only
            os.utime(path)
        return model

    def save(self, key: str, model: _Model) -> None:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self._folder, prefix=".lexical-")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(file, about=json.dumps({"key": key}), **_packed(model))
                Path(draft).replace(self._path(key))
            finally:
                Path(draft).unlink(missing_ok=True)
            files = sorted(self._folder.glob("lexical-*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in files[_CACHED_FILES:]:
                old.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"lexical-{key}.npz"


def _packed(model: _Model) -> dict[str, Any]:
    w = sparse.csr_matrix(model.wordings.T)
    flat = {"data": w.data, "indices": w.indices, "indptr": w.indptr, **model.linear._asdict()}
    return {**flat, **{k: v for k, v in model._asdict().items() if k not in ("wordings", "linear")}}


def _unpacked(stored: Mapping[str, Any]) -> _Model:
    """The inverse of `_packed`; raises when the parts do not fit together."""
    vocabulary, indptr = stored["vocabulary"], stored["indptr"]
    shape = (len(indptr) - 1, len(vocabulary))
    wordings = sparse.csr_matrix((stored["data"], stored["indices"], indptr), shape=shape)
    wordings.check_format(full_check=True)
    linear = _Linear(stored["coef"], stored["bias"], stored["fade"])
    model = _Model(vocabulary, stored["idf"], _by_gram(wordings), stored["first"], linear, float(stored["sharpness"]))
    if not np.isfinite(model.log_scores(sparse.csr_matrix(np.ones((1, len(vocabulary)), np.float32)), np.ones((1, 1)))).all():
        raise ValueError
    return model
