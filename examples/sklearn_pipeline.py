"""The embedded engine beside a plain linear model, under scikit-learn's own tools."""

from __future__ import annotations

from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from llmtriage import Taxonomy
from llmtriage.sklearn import TicketClassifier
from llmtriage.tickets import read_tickets


def without_digits(texts: list[str]) -> list[str]:
    """A step before the classifier: the number of an order says nothing about the category."""
    return ["".join("0" if c.isdigit() else c for c in text) for text in texts]


def main() -> None:
    """Compare three models, then search for the number of examples worth learning from."""
    rows = list(read_tickets(Path(__file__).with_name("tickets.csv")).labelled())[:300]
    texts = [f"{row.ticket.title}\n\n{row.ticket.content}" for row in rows]
    categories = [row.category for row in rows]
    svc = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)), LinearSVC())
    lexical = TicketClassifier(taxonomy=Taxonomy.sample())
    for name, model in {"LinearSVC": svc, "labels alone": TicketClassifier(), "with a taxonomy": lexical}.items():
        print(f"{name:16} accuracy {cross_val_score(model, texts, categories, cv=3).mean():.3f}")
    pipeline = make_pipeline(FunctionTransformer(without_digits), lexical)
    search = GridSearchCV(pipeline, {"ticketclassifier__shots": [2, None]}, cv=3)
    print("best:", search.fit(texts, categories).best_params_, f"accuracy {search.best_score_:.3f}")
    print(search.predict(["The app crashes when it starts", "我要退货，请尽快退款"]).tolist())


if __name__ == "__main__":
    main()
