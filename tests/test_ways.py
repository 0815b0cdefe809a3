"""The parts of `benchmarks/engines.py`: what is asked is the same for all ways, and the figures are those of the answers."""

from __future__ import annotations

import csv
import importlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from probed import Plays, Probed
from support import ROOT

from llmtriage import Taxonomy

FIXTURE = ROOT / "tests" / "vllm"


@dataclass(frozen=True)
class Modules:
    """Of the benchmark."""

    engines: ModuleType
    clock: ModuleType
    ours: ModuleType
    plain: ModuleType
    tasks: ModuleType
    worth: ModuleType


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Modules:
    """They lie where no package is."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    names = ("clock", "ours", "plain", "tasks", "worth")
    return Modules(importlib.import_module("engines"), *(importlib.import_module(f"ways.{name}") for name in names))


@pytest.fixture
def intents(tmp_path: Path) -> Path:
    """Three texts of an intent of each half, one of them twice, and one of no domain."""
    groups = json.loads((FIXTURE / "training" / "halves.json").read_text(encoding="utf-8"))
    rows = [(f"text {number} about {intents[0]}", intents[0]) for intents in groups.values() for number in (1, 2, 2, 3)]
    path = tmp_path / "intents.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "category"), *rows, ("what is it all for", "oos")])
    return path


def tasks_of(modules: Modules, path: Path, **changes: Any) -> list[Any]:
    """The tasks of a file."""
    return list(modules.tasks.tasks(path, **{"url": "http://127.0.0.1:1/v1", "model": "m", "n": None, "in_flight": 4, **changes}))


def took(modules: Modules, *, per_second: float = 1.0, uncached: float = 0.0, said: Sequence[Any] = ()) -> Any:
    """What a way took."""
    others = {"prompt": 1000.0, "output": 1.0, "client": 0.001, "server": None}
    return modules.clock.Measured(per_second=per_second, uncached=uncached, said=tuple(said), **others)


# -- what is asked ---------------------------------------------------------------------------------


def test_labels_of_domains_give_ten_categories(modules: Modules) -> None:
    """The tickets that come with the small model; those of no domain are left out, and what warms up is not asked under the clock."""
    without, with_examples = tasks_of(modules, FIXTURE / "tickets.csv")
    assert [without.setting, with_examples.setting] == [(10, 0), (10, 10)]
    assert without.texts == with_examples.texts
    assert len(without.warm_up) == 10
    assert not {*without.warm_up} & {*without.texts}
    assert {text for text, _ in with_examples.examples} == {*without.warm_up}
    assert {*without.gold} == {leaf.id for leaf in Taxonomy.load(FIXTURE / "taxonomy.yaml").leaves}


def test_labels_of_intents_give_ten_and_twenty(modules: Modules, intents: Path) -> None:
    """The same tickets under both taxonomies; a text that comes twice is asked about once."""
    every = tasks_of(modules, intents)
    assert [task.setting for task in every] == [(10, 0), (10, 10), (20, 0), (20, 10)]
    assert len({task.texts for task in every}) == 1
    ten, twenty = every[0], every[2]
    assert len(twenty.warm_up) == 20
    assert len({*twenty.texts}) == len(twenty.texts) == 40
    assert all(half.startswith(domain) for domain, half in zip(ten.gold, twenty.gold, strict=True))
    assert {text for text, _ in every[3].examples} < {*twenty.warm_up}
    assert [len(task.texts) for task in tasks_of(modules, intents, n=7)] == [7] * 4


def test_tickets_are_lengthened_until_every_way_has_as_many_uncached_tokens(modules: Modules) -> None:
    """A vote is one of five prompts; what has the ticket first, or no server, is left as it is."""
    task = tasks_of(modules, FIXTURE / "tickets.csv", n=6)[0]

    class TwoTokensAWord:
        def tokens_of(self, text: str, _model: str) -> int:
            return 2 * len(text.split())

    uncached = {"token": 50.0, "json": 80.0, "votes": 5 * 76.0, "decisions": 900.0, "offline": 50.0}
    taken = {name: took(modules, uncached=tokens) for name, tokens in uncached.items()}
    found = modules.engines.equalised(taken, task, TwoTokensAWord())
    longer = {
        name: [len(text.split()) - len(own.split()) for text, own in zip(texts, task.texts, strict=True)]
        for name, texts in found.items()
    }
    assert longer == {"token": [15] * 6, "json": [0] * 6, "votes": [2] * 6}
    assert all(text.startswith(own) for text, own in zip(found["token"], task.texts, strict=True))
    assert {*found["token"][0].split()} == {*task.texts[0].split()}


# -- how it is asked -------------------------------------------------------------------------------


def test_the_classifier_of_others_knows_what_ours_knows(modules: Modules, started: Callable[[Plays], Probed]) -> None:
    """Every word of the taxonomy, the examples, a schema, and a prefix cache of its own."""
    server = started(Plays())
    task = tasks_of(modules, FIXTURE / "tickets.csv", n=6, url=server.url)[1]
    with modules.plain.asking(modules.engines.replace(task, salt="own")) as ask:
        said = ask(task.texts)
    ids = [leaf.id for leaf in task.categories.leaves]
    assert len(said) == len(server.asked) == 6
    assert all(one.category in ids and one.seconds > 0 for one in said)
    body = server.asked[0]
    assert body["cache_salt"] == "own"
    assert body["response_format"]["json_schema"]["schema"]["properties"]["category"]["enum"] == ids
    system = body["messages"][0]["content"]
    assert "renting a car on a journey: travel" in system
    assert all(text in system for text, _ in task.examples)
    assert {body["messages"][1]["content"] for body in server.asked} == {*task.texts}


@pytest.mark.slow
def test_ours_may_be_asked_with_the_ticket_first(modules: Modules, started: Callable[[Plays], Probed]) -> None:
    """The same words the other way round, all in flight from the beginning, under the salt of the task."""
    server = started(Plays(delay=0.05))
    task = modules.engines.replace(tasks_of(modules, FIXTURE / "tickets.csv", n=6, url=server.url)[0], salt="own")
    way = modules.engines.WAYS["json"]
    with modules.ours.asking(way, task) as ask:
        ask(task.texts)
    with modules.ours.asking(way, task, ticket_first=True) as ask:
        ask(task.texts)
    usual, turned = (
        {tuple(message["content"] for message in body["messages"]) for body in half}
        for half in (server.asked[:6], server.asked[6:])
    )
    assert {(user, system) for system, user in usual} == turned
    assert all(body["cache_salt"] == "own" for body in server.asked)


def test_a_way_that_the_server_does_not_have_is_left_out_with_the_reason(
    modules: Modules, started: Callable[[Plays], Probed]
) -> None:
    """Nothing answers at /systemone; and there is no model for vLLM in process."""
    server = started(Plays())
    task = tasks_of(modules, FIXTURE / "tickets.csv", n=6, url=server.url)[0]
    place = modules.engines.Place(url=server.url, model="m")
    with pytest.raises(modules.engines.Skipped, match="nothing answers"):
        modules.engines.measured("decisions", task, place)
    with pytest.raises(modules.engines.Skipped, match=r"--folder, --vllm-python|no vllm-offline"):
        modules.engines.measured("offline", task, place)


# -- what it took ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_tokens_are_those_that_the_server_counted(modules: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all engines of a server, without those of the warm-up."""
    counted = iter([(100, 40, 3), (1100, 640, 23)])

    def metrics(self: object, path: str) -> str:
        prompt, cached, output = next(counted)
        return "\n".join(
            f'{name}{{engine="{engine}",model_name="m"}} {value / 2}'
            for name, value in (
                ("vllm:prompt_tokens_total", prompt),
                ("vllm:prompt_tokens_by_source_total", 9),
                ("vllm:prefix_cache_hits_total", cached),
                ("vllm:external_prefix_cache_hits_total", 9),
                ("vllm:generation_tokens_total", output),
            )
            for engine in (0, 1)
        )

    monkeypatch.setattr(modules.clock.Server, "_get", metrics)
    asked: list[str] = []

    def ask(texts: Sequence[str]) -> list[Any]:
        asked.extend(texts)
        return [modules.clock.Said(category="a", seconds=0.1) for _ in texts]

    found = modules.clock.clocked(ask, ["warm"], ["x"] * 10, modules.clock.Server("http://127.0.0.1:1/v1"))
    assert asked == ["warm", *["x"] * 10]
    assert (found.prompt, found.uncached, found.output) == (100, 40, 2)
    assert len(found.said) == 10


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_cpu_of_processes_below_this_one_is_seen(modules: Modules) -> None:
    """As long as they live."""
    cpu_below = modules.clock.cpu_below
    command = [
        sys.executable,
        "-c",
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ninput()",
    ]
    before = cpu_below() or 0.0
    with subprocess.Popen(command, stdin=subprocess.PIPE) as busy:
        end = time.monotonic() + 60
        while (cpu_below() or 0.0) < before + 0.25:
            assert time.monotonic() < end
            time.sleep(0.05)
        busy.communicate(b"\n")


# -- how good the answers are ----------------------------------------------------------------------


def test_no_answer_is_a_wrong_one(modules: Modules) -> None:
    """And own numbers are held against what was right."""
    task = tasks_of(modules, FIXTURE / "tickets.csv", n=4)[0]
    said = [modules.clock.Said(category=gold, seconds=0.1, confidence=0.9) for gold in task.gold[:3]]
    found = modules.worth.worth(task, [*said, modules.clock.Said(category=None, seconds=0.1)])
    assert (found.accuracy, found.failed, found.log_loss) == (0.75, 1, None)
    assert found.ece == pytest.approx(0.1)


def test_a_temperature_of_the_other_half_mends_what_is_too_sure(modules: Modules) -> None:
    """Seven in ten right, as sure as can be: after it the log loss is that of 0.7 and nine times a thirtieth."""
    task = tasks_of(modules, FIXTURE / "tickets.csv", n=200)[0]
    ids = [leaf.id for leaf in task.categories.leaves]
    said = []
    for number, gold in enumerate(task.gold):
        chosen = ids.index(gold) if number % 20 < 14 else (ids.index(gold) + 1) % 10
        values = [math.log(0.991 if column == chosen else 0.001) for column in range(10)]
        said.append(modules.clock.Said(category=ids[chosen], seconds=0.1, values=tuple(values)))
    found = modules.worth.worth(task, said)
    assert found.accuracy == pytest.approx(0.7)
    assert found.log_loss == pytest.approx(-0.7 * math.log(0.7) - 0.3 * math.log(0.3 / 9), abs=1e-3)
    assert found.ece < 0.05  # before it: 0.29


# -- the page --------------------------------------------------------------------------------------


def test_a_row_in_which_one_token_is_not_ahead_is_told(modules: Modules) -> None:
    """Run by run, with what the server computed; other ways to read one token are no competitors."""
    engines = modules.engines
    results = engines.Results()
    rates = {"token": (10.0, 20.0), "json": (20.0, 22.0), "votes": (2.0, 3.0), "top": (30.0, 30.0)}
    for name, runs in rates.items():
        measured = {number: took(modules, per_second=rate, uncached=100 + len(name)) for number, rate in enumerate(runs)}
        results.runs[(20, 10), name, engines.AS_IT_IS] = measured
    assert engines.behind(results) == [
        "JSON, 20 categories, 10 examples, as it is: 0.70 (0.50-0.91) times as fast; 105 uncached tokens against 104"
    ]


def test_the_page_has_the_columns_of_the_script(modules: Modules) -> None:
    """The last measured tables were written by this script, not by an older one."""
    page = modules.engines.PAGE.read_text(encoding="utf-8")
    for head in (modules.engines.COST, modules.engines.WORTH):
        assert modules.engines.table(head, []) in page
