"""Rate and peak memory of `llmtriage classify` on many rows, beside plain scikit-learn as a user would write it.

python benchmarks/classify.py examples/tickets.csv --rows 100000

Both learn from the same labelled file and classify the same rows, which are its tickets over and over, each with a number so that no two are
the same. Each runs in a process of its own; the machine should be quiet.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAIN = """
import csv, sys
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

learn, rows, out = sys.argv[1:]
text = lambda row: row["title"] + " " + row["content"]
with open(learn, newline="", encoding="utf-8") as stream:
    labelled = list(csv.DictReader(stream))
features = make_union(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)))
model = make_pipeline(features, LogisticRegression(C=30, max_iter=300)).fit([text(r) for r in labelled], [r["category"] for r in labelled])
with open(rows, newline="", encoding="utf-8") as stream:
    tickets = list(csv.DictReader(stream))
shares = model.predict_proba([text(row) for row in tickets])
with open(out, "w", newline="", encoding="utf-8") as stream:
    writer = csv.writer(stream)
    for row, share in zip(tickets, shares):
        writer.writerow([row["id"], model.classes_[share.argmax()], share.max()])
"""


def make_rows(source: Path, target: Path, count: int) -> None:
    """`count` rows out of the tickets of `source`."""
    with source.open(newline="", encoding="utf-8") as stream:
        tickets = list(csv.DictReader(stream))
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "title", "content"])
        for i in range(count):
            ticket = tickets[i % len(tickets)]
            writer.writerow([i, ticket["title"], f"{ticket['content']} ({i})"])


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident memory in MiB of a command."""
    start = time.perf_counter()
    code = (
        "import os, sys\npid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])\n_, status, use = os.wait4(pid, 0)\n"
        "print(use.ru_maxrss / 1024)\nsys.exit(bool(status))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure both, in turn, and print a table."""
    parser = argparse.ArgumentParser(description="Rate and peak memory of classify.")
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, out = folder / "rows.csv", folder / "out.csv"
        make_rows(options.labelled, rows, options.rows)
        ours = [sys.executable, "-m", "llmtriage", "classify", str(rows), "--examples", str(options.labelled)]
        commands = {
            "llmtriage classify": [*ours, "--threshold", "0.7", "-o", str(out), "--overwrite", "--quiet"],
            "plain scikit-learn": [sys.executable, "-c", PLAIN, str(options.labelled), str(rows), str(out)],
        }
        results = {what: [] for what in commands}  # type: dict[str, list[tuple[float, float]]]
        for _ in range(options.times):
            for what, command in commands.items():
                results[what].append(measured(command))
    print(f"| {options.rows:,} rows, best of {options.times} | seconds | tickets/s | peak MiB |\n|---|---|---|---|")
    for what, runs in results.items():
        seconds, peak = min(run[0] for run in runs), max(run[1] for run in runs)
        print(f"| {what} | {seconds:.1f} | {options.rows / seconds:,.0f} | {peak:.0f} |")
    ratio = min(r[0] for r in results["llmtriage classify"]) / min(r[0] for r in results["plain scikit-learn"])
    print(f"\nTime, llmtriage to plain: {ratio:.2f}")


if __name__ == "__main__":
    main()
