"""How much personal data is found: precision and recall by kind on cases with marked values.

python benchmarks/redaction.py CASES.jsonl
python benchmarks/redaction.py CASES.jsonl --show
python benchmarks/redaction.py CASES.jsonl --write

A case is a line {"id", "language", "text", "entities": [{"kind", "text", "start"}], "trap"}; a trap is a text that looks as if it held something.
--show names each value that stays visible and each false alarm, --write keeps the tables in redaction.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llmtriage.prepare import Redaction
from llmtriage.prepare.personal import CUED, FORMATTED
from llmtriage.prepare.redaction import KINDS, Place, find

PAGE = Path(__file__).with_suffix(".md")
GROUPS = {"**with a format**": tuple(FORMATTED), "**behind cue words**": tuple(CUED), "**all**": KINDS}


@dataclass(frozen=True)
class Case:
    """A text with the places where personal data stand; `trap`: it only looks as if there were some."""

    id: str
    language: str
    text: str
    true: tuple[Place, ...]
    trap: bool


class Counts(NamedTuple):
    """Values of a kind and what became of them, and places that were hidden as this kind.

    Attributes:
        values: All of them.
        found: Hidden whole, as their kind.
        otherwise: Hidden whole, but not as their kind alone.
        right: Hidden places that touch a value of their kind.
        alarms: Hidden places that touch no value of any kind.
    """

    values: int = 0
    found: int = 0
    otherwise: int = 0
    right: int = 0
    alarms: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass
class Score:
    """Counts by kind, the ids of traps that were fallen into, and what went wrong: (id, kind, what, text)."""

    kinds: dict[str, Counts] = field(default_factory=dict)
    sprung: list[str] = field(default_factory=list)
    faults: list[tuple[str, str, str, str]] = field(default_factory=list)


def score(cases: Iterable[tuple[Case, Sequence[Place]]]) -> Score:
    """Compare what is hidden with what should be.

    A value is found if places of its kind cover every character of it. A hidden place that touches no value is a false alarm.

    Args:
        cases: Each with the places that are hidden.
    """
    done = Score()
    for case, hidden in cases:
        for value in case.true:
            kind = value.kind
            found = _covered(value, [place for place in hidden if place.kind == kind])
            otherwise = not found and _covered(value, hidden)
            _add(done, kind, Counts(values=1, found=int(found), otherwise=int(otherwise)))
            if not found:
                what = "as another kind" if otherwise else "visible"
                done.faults.append((case.id, kind, what, case.text[value.start : value.end]))
        for place in hidden:
            touched = {value.kind for value in case.true if value.start < place.end and place.start < value.end}
            _add(done, place.kind, Counts(right=int(place.kind in touched), alarms=int(not touched)))
            if not touched:
                done.faults.append((case.id, place.kind, "false alarm", case.text[place.start : place.end]))
        if case.trap and hidden:
            done.sprung.append(case.id)
    return done


def _add(done: Score, kind: str, counts: Counts) -> None:
    done.kinds[kind] = done.kinds.get(kind, Counts()).plus(counts)


def _covered(value: Place, places: Sequence[Place]) -> bool:
    covered = {at for place in places for at in range(place.start, place.end)}
    return all(at in covered for at in range(value.start, value.end))


def read_cases(path: Path) -> list[Case]:
    """The cases of a file. Raises ValueError where a value does not stand where it is said to."""
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        row = json.loads(line)
        for entity in row["entities"]:
            if not row["text"].startswith(entity["text"], entity["start"]) or entity["kind"] not in KINDS:
                raise ValueError(f"{path}:{number}: a value of kind {entity['kind']!r} does not stand at {entity['start']}")
        true = tuple(Place(entity["start"], entity["start"] + len(entity["text"]), entity["kind"]) for entity in row["entities"])
        cases.append(Case(row["id"], row["language"], row["text"], true, bool(row["trap"])))
    return cases


def table(done: Score) -> str:
    """The counts as Markdown."""
    lines = [
        "| kind | values | found | as another kind | visible | recall | false alarms | precision |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = {kind: (kind,) for kind in KINDS} | GROUPS
    for name, kinds in rows.items():
        total = Counts()
        for kind in kinds:
            total = total.plus(done.kinds.get(kind, Counts()))
        visible = total.values - total.found - total.otherwise
        recall, precision = _share(total.found, total.values), _share(total.right, total.right + total.alarms)
        lines.append(
            f"| {name} | {total.values} | {total.found} | {total.otherwise} | {visible} | {recall} | {total.alarms} | {precision} |"
        )
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def page(cases: Sequence[Case], found: Sequence[Sequence[Place]]) -> str:
    """All tables: both languages together, then each."""
    texts = [f"{_of(cases)}\n\n{table(score(zip(cases, found, strict=True)))}\n\n{_traps(cases, found)}"]
    for language in sorted({case.language for case in cases}):
        pairs = [pair for pair in zip(cases, found, strict=True) if pair[0].language == language]
        texts.append(f"## {language}\n\n{_of([case for case, _ in pairs])}\n\n{table(score(pairs))}")
    return "\n\n".join(texts) + "\n"


def _of(cases: Sequence[Case]) -> str:
    languages = Counter(case.language for case in cases)
    shares = ", ".join(f"{count} {language}" for language, count in sorted(languages.items()))
    return f"{len(cases)} texts ({shares}) with {sum(len(case.true) for case in cases)} values, {sum(case.trap for case in cases)} of them traps."


def _traps(cases: Sequence[Case], found: Sequence[Sequence[Place]]) -> str:
    sprung = score(zip(cases, found, strict=True)).sprung
    return f"In {len(sprung)} of {sum(case.trap for case in cases)} traps something was hidden."


HEAD = """\
# Redaction

`python benchmarks/redaction.py {file} --write`. A value is found if every character of it is hidden as its kind; "as another kind": hidden, but as
something else; visible: at least a part of it stays. A false alarm touches no value. Precision is of places that touch a value of their kind.

"""


def main() -> None:
    """Read, find, print; write on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    cases = read_cases(given.file)
    found = [find(case.text, Redaction()) for case in cases]
    text = page(cases, found)
    print(text)
    if given.show:
        for fault in score(zip(cases, found, strict=True)).faults:
            print("\t".join(part.replace("\n", " ") for part in fault))
    if given.write:
        PAGE.write_text(HEAD.format(file=given.file.name) + text, encoding="utf-8")


if __name__ == "__main__":
    main()
