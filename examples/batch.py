"""A CSV in, a CSV out, in Python: python examples/batch.py IN.csv OUT.csv"""

from __future__ import annotations

import sys
from pathlib import Path

from llmtriage import Taxonomy, Triage
from llmtriage.runner import classify_file
from llmtriage.tickets import read_tickets

EXAMPLES = Path(__file__).parent / "tickets.csv"


def main() -> None:
    """Route the tickets of one file into another."""
    if len(sys.argv) != 3:
        print("usage: python examples/batch.py IN.csv OUT.csv", file=sys.stderr)
        sys.exit(2)
    source, out = sys.argv[1:]
    triage = Triage(taxonomy=Taxonomy.sample(), examples=EXAMPLES, threshold=0.7)
    summary = classify_file(triage, read_tickets(source), out, overwrite=True)
    print(f"{summary.accepted} routed, {summary.pending} wait: {dict(summary.reasons)}")


if __name__ == "__main__":
    main()
