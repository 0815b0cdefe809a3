"""Figures of an engine on your own labelled CSV; the same as `llmtriage evaluate`.

python benchmarks/evaluate.py dev.csv --taxonomy t.yaml --examples train.csv --shots 10 --json
"""

import sys

from llmtriage.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
