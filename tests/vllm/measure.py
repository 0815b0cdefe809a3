"""How good the trained model is behind a real server, for every form of the answer.

PYTHONPATH=. python tests/vllm/measure.py http://127.0.0.1:8117 DOMAINS.json LABELLED.csv --most 300

LABELLED.csv has columns text and category; a category is an intent of DOMAINS.json or a domain, and any other is out of scope. The
Python is that of train.py. No answer is constrained by a schema.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from train import FORMS, Sorting, asked, bodies, codes_of, sortings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODEL, AT_ONCE, LONGEST = "tiny-clinc", 16, 60


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its leaf; none: out of scope."""

    text: str
    leaf: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was named, whether the text was just that and came to its end, and the probabilities of the leaves, not normalised."""

    leaf: str | None = None
    whole: bool = False
    probabilities: Mapping[str, float] | None = None


class Server:
    """Asks one server."""

    def __init__(self, url: str) -> None:
        """Nothing is sent yet."""
        self._http = httpx2.Client(base_url=url, timeout=120)

    def post(self, path: str, **body: Any) -> Any:
        """The JSON of a reply."""
        reply = self._http.post(path, json={"model": MODEL, **body})
        reply.raise_for_status()
        return reply.json()

    def read(self, messages: Sequence[Mapping[str, str]], tokens: Mapping[str, int]) -> Answer:
        """The probability of each leaf's token as the first of the answer."""
        ids = list(tokens.values())
        reply = self.post(
            "/v1/chat/completions",
            messages=messages,
            max_tokens=1,
            temperature=0,
            logprobs=True,
            logprob_token_ids=ids,
            return_tokens_as_token_ids=True,
        )
        listed = {top["token"]: top["logprob"] for top in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
        return Answer(probabilities={leaf: math.exp(listed[f"token_id:{token}"]) for leaf, token in tokens.items()})

    def write(self, messages: Sequence[Mapping[str, str]], named: Callable[[str], str | None]) -> Answer:
        """The leaf that a written answer names."""
        reply = self.post("/v1/chat/completions", messages=messages, max_tokens=LONGEST, temperature=0)
        choice = reply["choices"][0]
        leaf = named(choice["message"]["content"])
        return Answer(leaf=leaf, whole=leaf is not None and choice["finish_reason"] == "stop")

    def decide(self, body: Mapping[str, Any]) -> Answer:
        """The probabilities of the decisions route."""
        reply = self.post("/v1/systemone", **body)
        (name,) = reply["answers"]
        mass = reply["diagnostics"][name]["label_mass"]
        return Answer(probabilities={leaf: mass * share for leaf, share in reply["answers"][name]["probabilities"].items()})


def rows(path: Path, sort: Sorting, most: int) -> list[Row]:
    """At most so many in scope, chosen at random, and all others."""
    known = {**sort.leaves, **{leaf.id: leaf.id for leaf in sort.taxonomy.leaves}}
    with path.open(encoding="utf-8", newline="") as file:
        found = [Row(row["text"], known.get(row["category"])) for row in csv.DictReader(file)]
    inside = [row for row in found if row.leaf]
    return random.Random(0).sample(inside, min(most, len(inside))) + [row for row in found if not row.leaf]


def named_in_json(text: str, leaves: Mapping[str, str]) -> str | None:
    """The leaf whose code or id an answer in JSON names."""
    try:
        return leaves.get(json.loads(text)["category"])
    except (ValueError, KeyError, TypeError):
        return None


def ways(server: Server, sort: Sorting, kind: str) -> list[tuple[str, Callable[[str], Answer]]]:
    """The ways to get an answer of a kind for a text."""
    codes = codes_of(sort.taxonomy) if kind.startswith("code") else {leaf.id: leaf.id for leaf in sort.taxonomy.leaves}
    leaves = {code: leaf for leaf, code in codes.items()}
    if kind == "decision":
        body = bodies(sort.taxonomy)
        return [("probabilities", lambda text: server.decide(body(text)))]
    messages = asked(kind, sort, [], lambda _: 1.0).messages
    if kind not in {"code", "word"}:
        return [("text", lambda text: server.write(messages(text), partial(named_in_json, leaves=leaves)))]
    tokens = {leaf: server.post("/tokenize", prompt=code, add_special_tokens=False)["tokens"][0] for leaf, code in codes.items()}
    ways = [("text", lambda text: server.write(messages(text), leaves.get))]
    if len(set(tokens.values())) == len(tokens):
        ways.append(("probabilities", lambda text: server.read(messages(text), tokens)))
    return ways


def figures(asked_of: Sequence[Row], answers: Sequence[Answer]) -> str:
    """Accuracy in scope, and for probabilities the label mass, the log loss and how well the largest tells what is out of scope."""
    inside = [(row.leaf, answer) for row, answer in zip(asked_of, answers, strict=True) if row.leaf]
    if inside[0][1].probabilities is None:
        right = sum(leaf == answer.leaf for leaf, answer in inside) / len(inside)
        return f"accuracy {right:.3f}  whole {sum(answer.whole for answer in answers) / len(answers):.3f}"
    masses = [sum((answer.probabilities or {}).values()) for answer in answers]
    shares = [
        {leaf: value / mass for leaf, value in (answer.probabilities or {}).items()}
        for answer, mass in zip(answers, masses, strict=True)
    ]
    of_rows = list(zip(asked_of, shares, strict=True))
    right = sum(row.leaf == max(share, key=share.__getitem__) for row, share in of_rows if row.leaf) / len(inside)
    loss = sum(-math.log(max(share[row.leaf], 1e-12)) for row, share in of_rows if row.leaf) / len(inside)
    tops = [max(share.values()) for row, share in of_rows if row.leaf]
    others = [max(share.values()) for row, share in of_rows if not row.leaf]
    text = f"accuracy {right:.3f}  log loss {loss:.3f}  mean top {sum(tops) / len(tops):.3f}  label mass {sum(masses) / len(masses):.4f}"
    if not others:
        return text
    pairs = sum((top > other) + (top == other) / 2 for top in tops for other in others)
    return f"{text}  AUROC {pairs / len(tops) / len(others):.3f}"


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("domains", type=Path)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--most", type=int, default=10**9)
    args = parser.parse_args()
    server = Server(args.url)
    domains, halves = sortings(args.domains)
    for name, sort in (("domains", domains), ("halves", halves)):
        some = rows(args.labelled, sort, args.most)
        if not any(row.leaf for row in some):  # labelled with domains: nothing is known of their halves
            continue
        for kind in FORMS:
            for how, ask in ways(server, sort, kind):
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    answers = list(pool.map(ask, [row.text for row in some]))
                print(
                    f"{name:8}{kind:14}{how:15}{sum(row.leaf is not None for row in some):5}  {figures(some, answers)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
