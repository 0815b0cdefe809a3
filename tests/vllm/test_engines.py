"""`benchmarks/engines.py` measures every way of asking on a real server."""

from __future__ import annotations

import subprocess
import sys

from local_vllm import MODEL, PYTHON, Served
from support import ROOT

SCRIPT = ROOT / "benchmarks" / "engines.py"


def table(page: str, head: str) -> dict[str, list[str]]:
    """The rows of one table by their second cell, the way."""
    lines = page[page.index(head) :].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: lines.index("")]]
    return {way: rest for _, way, *rest in rows[2:]}


def test_every_way_is_measured_or_the_page_says_why_not(vllm_server: Served) -> None:
    """One token is one; JSON is several; what is shared is computed once, unless the ticket comes first."""
    options = ["--quick", "--url", vllm_server.url, "--folder", str(MODEL), "--vllm-python", str(PYTHON)]
    engine = ["--engine", '{"max_model_len": 4096, "enforce_eager": true}']
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options, *engine], capture_output=True, text=True, check=False, timeout=560
    )
    assert done.returncode == 0, done.stderr
    cost, worth = (table(done.stdout, "| categories, examples | way | " + name) for name in ("tickets/s", "accuracy"))
    assert cost.keys() == worth.keys()
    missing = done.stdout.partition("## Not measured")[2]
    assert len(cost) == 8 or (len(cost) == 7 and "one token, vLLM in process: " in missing)
    for way, (rate, output, prompt, uncached, *_) in cost.items():
        assert float(rate) > 0
        assert (float(output) == 1) == (way.startswith(("one token", "`decisions")))
        computed, whole = float(uncached), float(prompt.replace(",", ""))
        assert (computed == whole) == way.startswith("`decisions")
    by_number, by_top = (worth[f"one token, by {how}"] for how in ("its number", "`top_logprobs`"))
    assert abs(float(by_number[1]) - float(by_top[1])) < 0.1  # log loss
    assert float(cost["one token, by its number"][-1]) > 0  # ticket last against first
