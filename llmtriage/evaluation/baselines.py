"""What a few lines of scikit-learn reach on the same tickets: the bar an engine has to clear."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.pipeline import Pipeline

    from llmtriage.evaluation.judging import Judged
    from llmtriage.predictions import Example

MAJORITY = "majority"
LINEAR_SVM = "linear_svm"
MAJORITY_OF_EVALUATED = "majority_of_evaluated"


def baseline_accuracies(examples: Sequence[Example], judged: Sequence[Judged]) -> dict[str, float | None]:
    """The accuracy of simple classifiers on the judged tickets.

    The examples must not hold the judged tickets, else the classifiers know the answers by heart.

    Returns:
        `majority`: always the most frequent category of the examples. `linear_svm`: a linear SVM on TF-IDF, trained on the
        examples. Both are None without examples. `majority_of_evaluated`: always the most frequent category of the judged
        tickets themselves, chosen in hindsight, so the best that a constant answer can reach; None without judged tickets.
    """
    gold = [ticket.gold for ticket in judged]
    texts = [ticket.text for ticket in judged]
    return {
        MAJORITY: _share(gold, _most_frequent([example.category for example in examples])),
        LINEAR_SVM: _svm_accuracy(examples, texts, gold),
        MAJORITY_OF_EVALUATED: _share(gold, _most_frequent(gold)),
    }


def _most_frequent(labels: Sequence[str]) -> str | None:
    """The most frequent label, of equals the first."""
    return max(counts, key=counts.__getitem__) if (counts := Counter(labels)) else None


def _share(gold: Sequence[str], label: str | None) -> float | None:
    return gold.count(label) / len(gold) if label is not None and gold else None


def _svm_accuracy(examples: Sequence[Example], texts: Sequence[str], gold: Sequence[str]) -> float | None:
    labels = [example.category for example in examples]
    # A vectorizer refuses to learn from texts without a single word.
    if not gold or not any(character.isalnum() for example in examples for character in example.text):
        return None
    if len(set(labels)) == 1:
        return _share(gold, labels[0])
    model = _linear_svm()
    with warnings.catch_warnings():
        # Examples of many categories, each seen once, are no reason to talk about regression.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit([example.text for example in examples], labels)
    predicted = model.predict(texts)
    return sum(bool(one == other) for one, other in zip(predicted, gold, strict=True)) / len(gold)


def _linear_svm() -> Pipeline:
    """Words for languages with spaces, characters for those without and for typing errors."""
    # Inside the function: `llmtriage evaluate` without examples needs none of it.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\b\w+\b", sublinear_tf=True)  # noqa: S106 (no password)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), LinearSVC(random_state=0))
