"""`llmtriage calibrate --store`: a promise from tickets that were drawn by chance, and from no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import TAXONOMY, Cli
from cli.test_calibrate import rows, write
from decided import accepted, decision, pending, record
from drawn import decide_as_told

from llmtriage import Taxonomy, Ticket
from llmtriage.probability.certificate import delta_of_look, labels_needed
from llmtriage.store import SqlStore
from llmtriage.store.samples import plan

LEARNT = ("--examples", "learn.csv")
MAKE = ("calibrate", "--store", "--alpha", "0.1", *LEARNT, "-o", "c.json")


class Desk:
    """A store in the folder of a test, with tickets whose categories are known."""

    def __init__(self, folder: Path) -> None:
        """Write the tickets; record none yet."""
        self.folder = folder
        self.store = SqlStore(folder / "llmtriage.db")
        write(folder / "learn.csv", 60, 1, wrong=0.0)
        write(folder / "tickets.csv", 400, 2)
        self.rows = rows(folder / "tickets.csv")
        self.gold = {row["id"]: row["category"] for row in self.rows}

    def tickets(self, start: int, end: int) -> list[Ticket]:
        """Some of the tickets."""
        return [Ticket(content=row["content"], id=row["id"]) for row in self.rows[start:end]]

    def draw(self, start: int, end: int, probe: float = 0.02) -> None:
        """Record tickets as drawn by chance."""
        record(self.store, *(decision(one, accepted(), probe=probe) for one in self.tickets(start, end)))

    def answer(self, most: int = 10_000) -> int:
        """People answer the oldest probes."""
        return decide_as_told(self.store, self.gold, lane="probe", most=most)


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Desk:
    """A store beside the taxonomy."""
    return Desk(tmp_path)


def test_from_probes_to_a_promise(cli: Cli, desk: Desk) -> None:
    """The sample and the look are told and stand in the file; the calibration is used like any other."""
    desk.draw(0, 300)
    desk.answer()
    done = cli(*MAKE)
    assert done.code == 0, done.err
    first, second, *_ = done.out.splitlines()
    assert first == "labels        300 of the sample probe-0.02; look 1 at them, which may spend 0.0608 of delta 0.1"
    assert second.startswith("accepts ")
    assert "with 93.92% confidence" in second
    data = json.loads((desk.folder / "c.json").read_text(encoding="utf-8"))
    assert (data["labels"]["drawn"], data["labels"]["n"], data["labels"]["file"]) == ("probe-0.02", 300, "llmtriage.db")
    assert cli("check", *LEARNT, "--calibration", "c.json").code == 0


@pytest.mark.slow
def test_each_look_is_counted_and_costs(cli: Cli, desk: Desk) -> None:
    """Also one without a promise, and one with other limits; more labels are the same sample."""
    desk.draw(0, 200)
    desk.answer()
    spent = []
    for number, limits in enumerate((("--alpha", "0.03"), ("--alphas", "0.1,0.2"), ("--alpha", "0.2")), 1):
        done = cli("calibrate", "--store", *limits, *LEARNT, "-o", f"{number}.json", "--json", "--quiet")
        data = json.loads(done.out)
        assert done.code == (1 if number == 1 else 0)
        assert data["sample"]["look"] == number
        spent.append(data["delta"] * (2 if "--alphas" in limits else 1))
    assert spent == pytest.approx([delta_of_look(0.1, look) for look in (1, 2, 3)])
    desk.draw(200, 250)
    desk.answer()
    assert "250 of the sample probe-0.02; look 4 at them" in cli(*MAKE, "--quiet").out


def test_too_few_labels_are_not_looked_at(cli: Cli, desk: Desk) -> None:
    """How many more are needed is told; nothing is asked, and no look is spent."""
    desk.draw(0, 40)
    desk.answer(20)
    least = labels_needed(0.1, delta_of_look(0.1, 1))
    done = cli(*MAKE, "--backend", "openai:m@http://127.0.0.1:9/v1")
    assert done.code == 1
    assert done.out.startswith(
        f"no promise with these 20 labels; at least {least - 20} more are needed: any promise needs {least} accepted "
    )
    assert "note: 20 tickets of the sample wait for an answer" in done.err
    assert json.loads(cli(*MAKE, "--json").out)["labels_wanted"] == least
    assert not (desk.folder / "c.json").exists()
    desk.answer()
    done = cli(*MAKE)
    assert done.out.endswith("accepted ones without an error, besides those that the calibrator is fitted on\n")
    desk.draw(40, 140)
    desk.answer()
    assert "look 1" in cli(*MAKE).out


def test_what_was_answered_out_of_order_is_told_and_not_used(cli: Cli, desk: Desk) -> None:
    """A choice among the drawn ones is no sample: the hard one was skipped, and the sample ends before it."""
    desk.draw(0, 110)
    desk.answer(100)
    (hard,) = desk.store.queue.claim("王芳")
    desk.store.queue.skip(hard, "王芳")
    for item in desk.store.queue.claim("王芳", n=4):
        desk.store.queue.answer(item, "王芳", "refund", taxonomy=Taxonomy.load("taxonomy.yaml"), shown=False)
    done = cli(*MAKE, "--json")
    data = json.loads(done.out)["sample"]
    assert (data["labels"], data["waiting"], data["behind"]) == (100, 6, 4)
    assert "note: 4 answered tickets are not used, for they were drawn after one that waits" in done.err


def test_corrected_pending_tickets_are_no_evidence(cli: Cli, desk: Desk) -> None:
    """However many there are: nothing was drawn."""
    record(desk.store, *(decision(one, pending()) for one in desk.tickets(0, 300)))
    decide_as_told(desk.store, desk.gold, lane="pending")
    done = cli(*MAKE)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "llmtriage: llmtriage.db: --store: no ticket was drawn for a blind review; "
        "classify with --probe 0.02, or plan a sample with llmtriage init\n"
    )


def test_another_probability_is_another_sample(cli: Cli, desk: Desk) -> None:
    """Only the latest counts, and the others are told."""
    desk.draw(0, 100, 0.02)
    desk.answer()
    desk.draw(100, 250, 0.05)
    desk.answer()
    done = cli(*MAKE)
    assert done.out.startswith("labels        150 of the sample probe-0.05; look 1 ")
    assert "note: 100 answered probes were drawn with another probability and are not used" in done.err


def test_a_planned_sample_by_name(cli: Cli, desk: Desk) -> None:
    """All of it or nothing."""
    plan(desk.store, "uniform-150-甲", [(one, one.content) for one in desk.tickets(0, 150)], 0.5)
    named = (*MAKE, "--sample", "uniform-150-甲")
    decide_as_told(desk.store, desk.gold, lane="sample", most=149)
    done = cli(*named)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--sample: 1 tickets of the sample have no answer, 149 have one; label all of them with llmtriage review" in done.err
    decide_as_told(desk.store, desk.gold, lane="sample")
    done = cli(*named)
    assert done.code == 0, done.err
    assert done.out.startswith("labels        150 of the sample uniform-150-甲; look 1 ")
    done = cli(*MAKE, "--sample", "uniform-150-乙", "--overwrite")
    assert (done.code, "did you mean 'uniform-150-甲'?" in done.err) == (2, True)


def test_a_taxonomy_that_lost_a_category(cli: Cli, desk: Desk) -> None:
    """Leaving those labels out would be a choice by label: refused, unless the taxonomy carries them."""
    desk.draw(0, 200)
    desk.answer()
    n = sum(row["category"] == "parcel" for row in desk.rows[:200])
    renamed = TAXONOMY.replace("id: parcel", "id: delivery")
    (desk.folder / "taxonomy.yaml").write_text(renamed, encoding="utf-8")
    learnt = (desk.folder / "learn.csv").read_text(encoding="utf-8").replace(",parcel", ",delivery")
    (desk.folder / "learn.csv").write_text(learnt, encoding="utf-8")
    done = cli(*MAKE)
    assert (done.code, done.out) == (2, "")
    assert (
        f"{n} of 200 labels are 'parcel', for which the taxonomy has no leaf; say was: [parcel] in the one category" in done.err
    )
    carried = renamed.replace("id: delivery,", "id: delivery, was: [parcel],")
    (desk.folder / "taxonomy.yaml").write_text(carried, encoding="utf-8")
    done = cli(*MAKE)
    assert done.code == 0, done.err
    assert f"llmtriage.db: {n} labels are carried, as was in the taxonomy says: parcel -> delivery ({n})" in done.err
    assert "look 1" in done.out


def test_rules_on_fields_that_are_not_stored_are_told(cli: Cli, desk: Desk) -> None:
    """Of tickets whose text is stored redacted no metadata are kept: what such a rule holds back would count as accepted."""
    desk.draw(0, 120)
    desk.answer()
    rule = "rules:\n  - {name: vip, when: {metadata: {tier: [gold]}}, always_review: true}\n"
    (desk.folder / "taxonomy.yaml").write_text(TAXONOMY + rule, encoding="utf-8")
    done = cli(*MAKE)
    assert "note: rules look at tier, which no ticket of the file has" in done.err


def test_in_chinese(cli: Cli, desk: Desk) -> None:
    """What is told of the sample, too."""
    desk.draw(0, 150)
    desk.answer(20)
    assert cli(*MAKE, "--language", "zh").out.startswith("这 20 个标注不足以作出保证；至少还需 ")
    desk.answer()
    done = cli(*MAKE, "--language", "zh")
    assert done.out.startswith("标注          样本 probe-0.02 的 150 张；第 1 次查看，可用去 delta 0.1 中的 0.0608\n自动接受 ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "there is nothing to calibrate on; name a labelled file, or add --store"),
        (("tickets.csv", "--store", "llmtriage.db"), "FILE and --store exclude each other; leave one of them out"),
        (("tickets.csv", "--sample", "a"), "--sample: a sample of a store; add --store in place of FILE"),
        (("--store", "--look", "2"), "--look: does not go with --store; leave it out: the store counts the looks"),
        (("--store", "--plan", "p.json"), "--plan: does not go with --store; leave it out, or name a labelled file"),
        (("--store", "none.db"), "none.db: --store: there is no store; classify a file first, or name another one"),
        (("--store", "tickets.csv"), "tickets.csv: --store: this is no database; name another file"),
    ],
)
def test_what_does_not_go_together(cli: Cli, desk: Desk, arguments: tuple[str, ...], says: str) -> None:
    """One line each, and nothing is made."""
    done = cli("calibrate", *arguments, "--alpha", "0.1", "-o", "c.json")
    assert (done.code, done.err) == (2, f"llmtriage: {says}\n")
    assert not (desk.folder / "none.db").exists()


def test_the_store_is_not_written_over(cli: Cli, desk: Desk) -> None:
    """Neither by its name nor by another one, whatever may be replaced."""
    (desk.folder / "link.json").symlink_to(desk.folder / "llmtriage.db")
    desk.draw(0, 120)
    desk.answer()
    for output in ("llmtriage.db", "link.json"):
        for command in (("calibrate", "--store"), ("init", "tickets.csv")):
            done = cli(*command, "--alpha", "0.1", *LEARNT, "-o", output, "--overwrite")
            assert (done.code, "this is a file to read; writing to it would destroy it" in done.err) == (2, True)
    assert cli(*MAKE).code == 0


@pytest.mark.slow
def test_the_store_of_the_environment(cli: Cli, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare --store means the one that is usual here; a file beside it is still a file."""
    desk.draw(0, 150)
    desk.answer()
    (desk.folder / "llmtriage.db").rename(desk.folder / "ours.db")
    for suffix in ("-wal", "-shm"):
        (desk.folder / f"llmtriage.db{suffix}").rename(desk.folder / f"ours.db{suffix}")
    monkeypatch.setenv("LLMTRIAGE_STORE", "ours.db")
    assert cli(*MAKE, "--quiet").code == 0
    assert cli("calibrate", "tickets.csv", "--alpha", "0.1", *LEARNT, "-o", "d.json", "--quiet").code == 0
    monkeypatch.delenv("LLMTRIAGE_STORE")
    (desk.folder / "llmtriage.toml").write_text('store = "ours.db"\n', encoding="utf-8")
    assert "look 2" in cli(*MAKE, "--quiet", "--overwrite").out
