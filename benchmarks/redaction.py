"""How much personal data is found: precision and recall by kind on cases with marked values.

python benchmarks/redaction.py CASES.jsonl
python benchmarks/redaction.py CASES.jsonl --show
python benchmarks/redaction.py CASES.jsonl --write

A case is a line {"id", "language", "text", "entities": [{"kind", "text", "start"}], "trap"}; a trap is a text that looks as if it held something.
--show names each value that stays visible and each false alarm, --write keeps the tables in redaction.md and the first in docs/privacy.md.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from llmtriage.prepare import Redaction
from llmtriage.prepare.personal import CUED, FORMATTED
from llmtriage.prepare.redaction import KINDS, Place, find

PAGE = Path(__file__).with_suffix(".md")
PRIVACY = Path(__file__).parents[1] / "docs" / "privacy.md"
NUMBERS = ("cn_id", "bank_card", "phone")
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
        alarms: Hidden places that touch no value of their kind.
        numbers: Values that are numbers of persons: identity cards, bank cards, phones.
        digitless: Of these, such that no digit is visible.
    """

    values: int = 0
    found: int = 0
    otherwise: int = 0
    right: int = 0
    alarms: int = 0
    numbers: int = 0
    digitless: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass
class Score:
    """Counts by kind, the ids of traps that were fallen into, and what went wrong: (id, kind, what, text).

    Attributes:
        characters: Of all hidden places.
        needless: Of these, such as belong to no value.
    """

    kinds: dict[str, Counts] = field(default_factory=dict)
    sprung: set[str] = field(default_factory=set)
    characters: int = 0
    needless: int = 0
    faults: list[tuple[str, str, str, str]] = field(default_factory=list)


def score(cases: Iterable[tuple[Case, Sequence[Place]]]) -> Score:
    """Compare what is hidden with what should be.

    A value is found if places of its kind cover every character of it. A hidden place that touches no value of its kind is a false alarm.

    Args:
        cases: Each with the places that are hidden.
    """
    done = Score()
    for case, hidden in cases:
        for value in case.true:
            kind = value.kind
            found = _covered(value, [place for place in hidden if place.kind == kind])
            otherwise = not found and _covered(value, hidden)
            number = kind in NUMBERS
            digitless = number and not any(case.text[at].isdigit() for at in _visible(value, hidden))
            _add(done, kind, Counts(1, int(found), int(otherwise), numbers=int(number), digitless=int(digitless)))
            if not found:
                what = "as another kind" if otherwise else "visible"
                done.faults.append((case.id, kind, what, case.text[value.start : value.end]))
        for place in hidden:
            touched = {value.kind for value in case.true if value.start < place.end and place.start < value.end}
            right = place.kind in touched
            _add(done, place.kind, Counts(right=int(right), alarms=int(not right)))
            if not right:
                done.faults.append((case.id, place.kind, "false alarm", case.text[place.start : place.end]))
            if case.trap and not touched:
                done.sprung.add(case.id)
            done.characters += place.end - place.start
            done.needless += len(_visible(place, case.true))
    return done


def _add(done: Score, kind: str, counts: Counts) -> None:
    done.kinds[kind] = done.kinds.get(kind, Counts()).plus(counts)


def _covered(value: Place, places: Sequence[Place]) -> bool:
    return not _visible(value, places)


def _visible(value: Place, places: Sequence[Place]) -> set[int]:
    """The characters of `value` that stand in none of the places."""
    return set(range(value.start, value.end)).difference(*(range(place.start, place.end) for place in places))


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
        total = _total(done, kinds)
        visible = total.values - total.found - total.otherwise
        recall, precision = _share(total.found, total.values), _share(total.right, total.right + total.alarms)
        lines.append(
            f"| {name} | {total.values} | {total.found} | {total.otherwise} | {visible} | {recall} | {total.alarms} | {precision} |"
        )
    return "\n".join(lines)


def _total(done: Score, kinds: Iterable[str]) -> Counts:
    total = Counts()
    for kind in kinds:
        total = total.plus(done.kinds.get(kind, Counts()))
    return total


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def page(cases: Sequence[Case], found: Sequence[Sequence[Place]]) -> str:
    """All tables: all languages together, then each."""
    done = score(zip(cases, found, strict=True))
    texts = [f"{_of(cases)}\n\n{table(done)}\n\n{_besides(cases, done)}"]
    for language in sorted({case.language for case in cases}):
        pairs = [pair for pair in zip(cases, found, strict=True) if pair[0].language == language]
        texts.append(f"## {language}\n\n{_of([case for case, _ in pairs])}\n\n{table(score(pairs))}")
    return "\n\n".join(texts) + "\n"


def _of(cases: Sequence[Case]) -> str:
    languages = Counter(case.language for case in cases)
    shares = ", ".join(f"{count} {language}" for language, count in sorted(languages.items()))
    return f"{len(cases)} texts ({shares}) with {sum(len(case.true) for case in cases)} values, {sum(case.trap for case in cases)} of them traps."


def _besides(cases: Sequence[Case], done: Score) -> str:
    total = _total(done, KINDS)
    return (
        f"In {len(done.sprung)} of {sum(case.trap for case in cases)} traps something was hidden. Of {total.numbers} numbers of identity cards, "
        f"bank cards and phones {total.digitless} show no digit. Of {done.characters:,} hidden characters {done.needless} belong to no value."
    )


HEAD = """\
# Hiding personal data, measured

Command:

```
python benchmarks/redaction.py {file} --write
```

The texts were written by someone who had not seen the rules, and were frozen before the first run on them; the rules were developed on other
cases. All names and numbers in them are invented. A value is found if every character of it is hidden as its kind; "as another kind": hidden
whole, but not as its kind alone; visible: at least a part of it stays. A false alarm is a hidden place that touches no value of its kind. Recall:
found among all values; precision: places that touch a value of their kind among all places hidden as it. A trap only looks as if it held
something, such as an order number.

"""
_TABLE: Final = re.compile(r"^\| kind \| values .*?(?=^[^|])", re.MULTILINE | re.DOTALL)


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
        PAGE.write_text(HEAD.format(file=given.file) + text, encoding="utf-8")
        shown = PRIVACY.read_text(encoding="utf-8")
        PRIVACY.write_text(_TABLE.sub(f"{table(score(zip(cases, found, strict=True)))}\n", shown), encoding="utf-8")


if __name__ == "__main__":
    main()
