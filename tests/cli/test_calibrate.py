"""`llmtriage calibrate` and `check`, and what runs under a calibration."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.conftest import Cli

from llmtriage.backends.lexical import LexicalBackend as Lexical
from llmtriage.calibration import Calibration
from llmtriage.predictions import Failure, Prediction, Question

WORDS = {
    "refund": ["money back", "refund my order", "return the lamp", "cashback", "退款", "reimburse me"],
    "parcel": ["parcel lost", "delivery late", "courier did not come", "where is my box", "快递", "tracking number"],
    "login": ["password reset", "cannot sign in", "locked out", "two factor code", "登录", "account blocked"],
}
FILLERS = [
    "please",
    "hello",
    "today",
    "again",
    "order",
    "lamp",
    "kitchen",
    "phone",
    "sister",
    "monday",
    "shop",
    "blue",
    "green",
    "quick",
    "answer",
    "thanks",
    "waiting",
    "week",
]


def write(path: Path, n: int, seed: int, *, wrong: float = 0.04) -> Path:
    """Tickets whose words mostly tell their category."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "content", "category"])
        for number in range(n):
            gold = str(rng.choice(list(WORDS)))
            said = gold if rng.random() >= wrong else str(rng.choice(list(WORDS)))
            extra = " ".join("".join(rng.choice(list("bcdfgklmnprst"), size=5)) for _ in range(3))
            text = f"{rng.choice(FILLERS)} {rng.choice(WORDS[said])} {rng.choice(FILLERS)} {extra}"
            rows.writerow([f"L{number}", text, gold])
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Labelled files beside the taxonomy: to learn from, to calibrate on, and others."""
    write(tmp_path / "learn.csv", 60, 1, wrong=0.0)
    write(tmp_path / "labelled.csv", 400, 2)
    write(tmp_path / "fresh.csv", 120, 3)
    return tmp_path


LEARNT = ("--examples", "learn.csv")
MAKE = ("calibrate", "labelled.csv", *LEARNT, "--alpha", "0.1", "-o", "c.json")


def rows(path: Path) -> list[dict[str, str]]:
    """Of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_from_labels_to_routed_tickets(cli: Cli, files: Path) -> None:
    """One sentence of what was won; the same figures in the file; tickets are accepted under it."""
    done = cli(*MAKE)
    assert done.code == 0, done.err
    first, second, shown, third = done.out.splitlines()
    data = json.loads((files / "c.json").read_text(encoding="utf-8"))
    promise = data["promises"][0]
    share = f"{promise['accepted'] / promise['n']:.0%}"
    assert first == (
        f"accepts {share} of tickets; error among them at most 10% with 90% confidence; "
        f"{promise['errors']} errors among the {promise['accepted']} accepted labelled tickets"
    )
    assert first == data["words"]
    assert second.startswith("calibrator ")
    held, n = data["candidates"]["n_held"], data["candidates"]["n"]
    assert shown.startswith(f"candidates    2 to 5 where a ticket waits; the right one among them for {held / n:.0%} of {n} (")
    assert third == "written       c.json"
    assert cli("check", *LEARNT, "--calibration", "c.json").code == 0
    done = cli("classify", "fresh.csv", *LEARNT, "--calibration", "c.json", "-o", "out.csv")
    assert done.code == 0, done.err
    assert "nothing is accepted" not in done.err
    out = rows(files / "out.csv")
    accepted = [row for row in out if row["outcome"] == "accepted"]
    assert len(accepted) > 30
    least = Calibration.load(files / "c.json").least_confidence("refund")
    assert least is not None
    assert all(float(row["confidence"]) >= least - 1e-6 for row in accepted)
    assert all(float(row["confidence"]) < least + 1e-6 for row in out if row["reasons"] == "below_threshold")
    gold = {row["id"]: row["category"] for row in rows(files / "fresh.csv")}
    assert np.mean([row["category"] != gold[row["id"]] for row in accepted]) <= 0.1


@pytest.mark.slow
def test_ask_and_evaluate_speak_of_confidence(cli: Cli, files: Path) -> None:
    """No longer of an uncalibrated score; the promise stands beside what was found."""
    assert cli(*MAKE).code == 0
    asked = cli("ask", "please refund my order", *LEARNT, "--calibration", "c.json")
    assert "(confidence 0." in asked.out
    assert "uncalibrated" not in asked.out
    data = json.loads(cli("ask", "please refund my order", *LEARNT, "--calibration", "c.json", "--json").out)
    assert data["calibrated"] is True
    assert 0 < data["confidence"] <= 1
    text = cli("evaluate", "fresh.csv", *LEARNT, "--calibration", "c.json").out
    assert "Promise           at most 10.0 % of the accepted are wrong, with 90.0 % confidence" in text
    assert "promised: at most 10.0 %" in text
    plain, under = (
        json.loads(cli("evaluate", "fresh.csv", *LEARNT, *flags, "--json").out) for flags in ((), ("--calibration", "c.json"))
    )
    assert under["settings"]["alpha"] == 0.1
    assert under["accepted"]["n"] > 0
    assert under["log_loss"] != plain["log_loss"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_a_file_whose_name_is_no_text(cli: Cli, files: Path) -> None:
    """Found out when everything was asked and paid for, it would be late."""
    odd = files / os.fsdecode(b"labelled\xff.csv")
    odd.write_bytes((files / "labelled.csv").read_bytes())
    done = cli("calibrate", odd, *LEARNT, "--alpha", "0.1", "-o", "c.json", "--quiet")
    assert done.code == 0, done.err
    assert json.loads((files / "c.json").read_text(encoding="utf-8"))["labels"]["file"] == "labelled?.csv"


def test_tickets_without_an_answer_are_told(cli: Cli, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time they may get one, and nothing is known of those."""
    answers = Lexical._answers

    def some(self: Lexical, batch: list[Question]) -> list[Prediction | Failure]:
        found = zip(batch, answers(self, batch), strict=True)
        return [
            Failure(reason="timeout", detail="too slow") if "kitchen" in question.text else answer for question, answer in found
        ]

    monkeypatch.setattr(Lexical, "_answers", some)
    n = sum("kitchen" in row["content"] for row in rows(files / "labelled.csv"))
    done = cli(*MAKE)
    assert done.code == 0, done.err
    assert f"note: {n} of the tickets got no answer: the promise does not speak of such" in done.err


@pytest.mark.slow
def test_figures_on_the_labels_of_the_calibration_flatter(cli: Cli, files: Path) -> None:
    """The threshold was chosen on them."""
    assert cli(*MAKE, "--quiet").code == 0
    for file, flatters in (("labelled.csv", True), ("fresh.csv", False)):
        done = cli("evaluate", file, *LEARNT, "--calibration", "c.json")
        assert done.code == 0, done.err
        assert ("note: among these tickets are some that the calibration was made on" in done.err) == flatters


def test_as_json(cli: Cli, files: Path) -> None:
    """How the calibrator was chosen, and what the promise rests on."""
    done = cli(*MAKE, "--json", "--quiet")
    data = json.loads(done.out)
    assert data["promises"][0]["alpha"] == 0.1
    assert data["labels"]["n"] == 400
    assert data["labels"]["fitted"] + data["labels"]["certified"] == 400
    assert {tried["method"] for tried in data["tried"]} >= {"temperature", "bias"}
    assert data["file"] == "c.json"
    least = Calibration.load(files / "c.json").least_confidence("refund")
    assert data["promises"][0]["least_confidence"] == (None if least == -math.inf else least)


def test_in_chinese(cli: Cli, files: Path) -> None:
    """The sentence, the calibrator, the file."""
    done = cli(*MAKE, "--language", "zh")
    assert done.code == 0
    assert done.out.startswith("自动接受 ")
    assert "已写入        c.json" in done.out
    assert "注意：没有一张工单属于兜底类别" in done.err
    checked = cli("check", *LEARNT, "--calibration", "c.json", "--language", "zh").out.splitlines()
    assert checked[0] == done.out.splitlines()[0]
    assert checked[-1].startswith("适用：")
    assert cli("check", *LEARNT, "--calibration", "c.json").out.startswith("accepts ")


@pytest.mark.slow
def test_no_promise_is_exit_code_1_and_no_file(cli: Cli, files: Path) -> None:
    """With what is missing."""
    write(files / "few.csv", 30, 4, wrong=0.0)
    done = cli("calibrate", "few.csv", *LEARNT, "--alpha", "0.1", "-o", "c.json", "--quiet")
    assert done.code == 1
    assert done.out.startswith("no promise with these 30 labels; a new sample of about ")
    write(files / "noise.csv", 300, 5, wrong=1.0)
    done = cli("calibrate", "noise.csv", *LEARNT, "--alpha", "0.05", "-o", "c.json", "--quiet")
    assert done.code == 1
    assert done.out.startswith("no promise with these 300 labels; ")
    assert not (files / "c.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "another try on these labels, with another limit or setting, is a look of its own: add --look 2"),
        (("--look", "2"), "add --look 3, which costs a share of delta"),
        (("--language", "zh"), "注意：用同一批标注换一个限度或设置再试，就是另一次查看：请加 --look 2"),
    ],
)
def test_no_promise_says_what_another_try_costs(cli: Cli, files: Path, flags: tuple[str, ...], says: str) -> None:
    """It leaves no file, so nothing else would notice."""
    write(files / "few.csv", 30, 4, wrong=0.0)
    done = cli("calibrate", "few.csv", *LEARNT, "--alpha", "0.1", "-o", "c.json", *flags)
    assert done.code == 1
    assert says in done.err


@pytest.mark.slow
def test_rules_on_fields_that_the_file_does_not_have_are_told(cli: Cli, files: Path) -> None:
    """What they would hold back waits in the run and counts as accepted here; a field that is there is not named."""
    rule = "  - {name: %s, when: {metadata: {%s: [gold]}}, always_review: true}\n"
    rules = "rules:\n" + rule % ("vip", "tier") + rule % ("shops", "Region")
    (files / "rules.yaml").write_text((files / "taxonomy.yaml").read_text(encoding="utf-8") + rules, encoding="utf-8")
    table = rows(files / "labelled.csv")
    with (files / "regions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*table[0], "region"])
        writer.writeheader()
        writer.writerows({**row, "region": "north"} for row in table)
    told = ("--taxonomy", "rules.yaml", *LEARNT, "--alpha", "0.1", "-o", "c.json", "--overwrite")
    done = cli("calibrate", "regions.csv", *told)
    assert done.code == 0, done.err
    assert "rules look at tier, which no ticket of the file has" in done.err
    assert (
        "有规则要看 Region, tier，但文件中没有一张工单有此字段" in cli("calibrate", "labelled.csv", *told, "--language", "zh").err
    )
    assert "look at" not in cli(*MAKE, "--overwrite").err


@pytest.mark.slow
def test_tickets_of_no_category(cli: Cli, files: Path) -> None:
    """By the name the file gives them; they count in both commands."""
    text = (files / "labelled.csv").read_text(encoding="utf-8").splitlines()
    text[1:41] = [line.rpartition(",")[0] + ",oos" for line in text[1:41]]
    (files / "some.csv").write_text("\n".join(text), encoding="utf-8")
    done = cli("evaluate", "some.csv", *LEARNT, "--quiet")
    assert (done.code, "oos" in done.err) == (2, True)
    done = cli("evaluate", "some.csv", *LEARNT, "--none-label", "oos", "--json", "--quiet")
    assert done.code == 0, done.err
    assert json.loads(done.out)["outside"]["n"] == 40
    done = cli("calibrate", "some.csv", *LEARNT, "--none-label", "oos", "--alpha", "0.2", "-o", "c.json")
    assert done.code == 0, done.err
    assert json.loads((files / "c.json").read_text(encoding="utf-8"))["labels"]["outside"] > 20
    assert "belongs to the catch-all" not in done.err
    done = cli("evaluate", "some.csv", *LEARNT, "--none-label", "refund", "--quiet")
    assert (done.code, "'refund' is a category of the taxonomy" in done.err) == (2, True)


@pytest.mark.slow
def test_a_review_budget(cli: Cli, files: Path) -> None:
    """People read so many; the sentence says how many of the others are wrong at most."""
    budget = ("calibrate", "labelled.csv", *LEARNT, "--unlabelled", "fresh.csv", "-o", "c.json", "--quiet")
    done = cli(*budget, "--review", "48/120")
    assert done.code == 0, done.err
    promise = json.loads((files / "c.json").read_text(encoding="utf-8"))["promises"][0]
    assert f"error among them at most {100 * promise['alpha']:g}% with 90% confidence" in done.out
    done = cli("classify", "fresh.csv", *LEARNT, "--calibration", "c.json", "-o", "out.csv", "--quiet")
    accepted = [row for row in rows(files / "out.csv") if row["outcome"] == "accepted"]
    assert len(accepted) >= 0.6 * 120


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--review", "0.4"), "--review: needs tickets that tell where that share ends; name them with --unlabelled"),
        (("--review", "300", "--unlabelled", "fresh.csv"), "--review: no share: '300'; write 0.15 or 300/2000, between 0 and 1"),
        (("--review", "1/0", "--unlabelled", "fresh.csv"), "--review: no share: '1/0'; write 0.15 or 300/2000, between 0 and 1"),
        (
            ("--review", "0.4", "--unlabelled", "fresh.csv", "--alpha", "0.1"),
            "--review: goes with none of the limits; leave out --alpha, --alphas, --look and --plan: the budget says where the threshold lies",
        ),
    ],
)
def test_budgets_that_cannot_be_used(cli: Cli, files: Path, flags: tuple[str, ...], says: str) -> None:
    """One line each, before anything is asked."""
    done = cli("calibrate", "labelled.csv", *LEARNT, *flags, "-o", "c.json", "--quiet")
    assert (done.code, done.err.strip()) == (2, f"llmtriage: {says}")
    assert not (files / "c.json").exists()


@pytest.mark.slow
def test_several_limits_share_delta(cli: Cli, files: Path) -> None:
    """The smallest that is possible is promised, and the tool says what each costs."""
    done = cli("calibrate", "labelled.csv", *LEARNT, "--alphas", "0.01,0.1,0.2", "-o", "c.json", "--quiet")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "alpha 0.01: nothing can be accepted"
    assert lines[1].startswith("alpha 0.1: accepts ")
    assert lines[3] == "each of these promises has 0.0333 of delta"
    promise = json.loads((files / "c.json").read_text(encoding="utf-8"))["promises"][0]
    assert promise["alpha"] == 0.1
    assert promise["delta"] == pytest.approx(0.1 / 3)


@pytest.mark.slow
def test_a_second_look_has_less_of_delta(cli: Cli, files: Path) -> None:
    """And says so."""
    done = cli(*MAKE, "--look", "2")
    assert done.code == 0, done.err
    assert "each of these promises has 0.0152 of delta" in done.out
    data = json.loads(cli(*MAKE, "--look", "2", "--json", "--overwrite").out)
    assert data["delta"] == pytest.approx(6 * 0.1 / (np.pi * 2) ** 2)


@pytest.mark.slow
def test_trying_until_it_passes_is_not_let_happen(cli: Cli, files: Path) -> None:
    """The same once more is the same; another limit, or more labels beside the old ones, is another look."""
    assert cli(*MAKE).code == 0
    before = (files / "c.json").read_text(encoding="utf-8")
    assert cli(*MAKE, "--overwrite").code == 0
    assert (files / "c.json").read_text(encoding="utf-8") == before
    write(files / "more.csv", 100, 9)
    added = (files / "more.csv").read_text(encoding="utf-8").partition("\n")[2]
    (files / "more.csv").write_text((files / "labelled.csv").read_text(encoding="utf-8") + added, encoding="utf-8")
    for file, flags in (
        ("labelled.csv", ("--alpha", "0.05")),
        ("labelled.csv", ("--alpha", "0.1", "--answer", "department")),
        ("more.csv", ("--alpha", "0.1")),
    ):
        done = cli("calibrate", file, *LEARNT, *flags, "-o", "c.json", "--overwrite", "--quiet")
        assert done.code == 2
        assert "--look: some of these labels were looked at before" in done.err
        assert "label a new sample; or add --look 2" in done.err
        assert (files / "c.json").read_text(encoding="utf-8") == before
    assert cli("calibrate", "labelled.csv", *LEARNT, "--alpha", "0.2", "--look", "2", "-o", "c.json", "--overwrite").code == 0
    budget = ("--review", "0.4", "--unlabelled", "fresh.csv")
    done = cli("calibrate", "labelled.csv", *LEARNT, *budget, "-o", "c.json", "--overwrite", "--quiet")
    assert "--review: some of these labels were looked at before" in done.err
    assert "or name another file with --output" in done.err
    write(files / "new.csv", 400, 10)
    assert cli("calibrate", "new.csv", *LEARNT, "--alpha", "0.1", "-o", "c.json", "--overwrite").code == 0


def test_tickets_among_the_examples_are_left_out(cli: Cli, files: Path) -> None:
    """And counted."""
    known = (files / "learn.csv").read_text(encoding="utf-8").splitlines()[1:21]
    with (files / "labelled.csv").open("a", encoding="utf-8") as file:
        file.write("\n".join(known) + "\n")
    done = cli(*MAKE)
    assert done.code == 0
    assert "note: 20 of the tickets stand among the examples and were left out" in done.err
    same = cli("calibrate", "learn.csv", *LEARNT, "--alpha", "0.1", "-o", "d.json")
    assert (same.code, same.err.splitlines()[-1][:40]) == (2, "llmtriage: no labelled ticket is left; g")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(("--examples", "fresh.csv"), "set of examples", id="other examples"),
        pytest.param((*LEARNT, "--without", "html"), "preparation of texts", id="another preparation"),
        pytest.param((*LEARNT, "--backend", "openai:m@http://127.0.0.1:9/v1"), "", id="another engine"),
        pytest.param((*LEARNT, "--taxonomy", "other.yaml"), "taxonomy", id="another taxonomy"),
    ],
)
def test_another_world_is_exit_code_3(cli: Cli, files: Path, flags: tuple[str, ...], words: str) -> None:
    """One line with the name of what differs; nothing is routed."""
    assert cli(*MAKE, "--quiet").code == 0
    text = (files / "taxonomy.yaml").read_text(encoding="utf-8")
    (files / "other.yaml").write_text(text.replace("money back after a return", "money back"), encoding="utf-8")
    for command in (("check",), ("classify", "fresh.csv", "-o", "out.csv")):
        done = cli(*command, *flags, "--calibration", "c.json", "--quiet")
        if not words:
            assert done.code in (3, 4)
            continue
        assert (done.code, len(done.err.splitlines())) == (3, 1)
        assert f"the calibration does not fit: it was made with another {words}" in done.err
        assert not (files / "out.csv").exists() or not rows(files / "out.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("calibrate", "labelled.csv", "-o", "c.json"), "--alpha: give one limit, or several"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "--alphas", "0.1,0.2", "-o", "c.json"), "give one limit, or several"),
        (("calibrate", "labelled.csv", "--alphas", "a,b", "-o", "c.json"), "--alphas: not A,B,...: 'a,b'"),
        (("calibrate", "labelled.csv", "--alphas", "0.1,1", "-o", "c.json"), "each is above 0 and at most 0.5"),
        (("calibrate", "labelled.csv", "--alpha", "0", "-o", "c.json"), "--alpha"),
        (("calibrate", "labelled.csv", "--alpha", "1", "-o", "c.json"), "--alpha"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "--delta", "0.9", "-o", "c.json"), "--delta"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "-o", "labelled.csv"), "the input itself"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "-o", "taxonomy.yaml"), "exists already"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "-o", "no/c.json"), "no such folder"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "-o", "c.json", "--threshold", "0.5"), "the calibration finds it"),
        (("calibrate", "labelled.csv", "--alpha", "0.1", "-o", "c.json", "--departments"), "--answer department"),
        (("calibrate", "tickets.csv", "--alpha", "0.1", "-o", "c.json"), "category"),
        (("check",), "--calibration"),
        (("check", "--calibration", "none.json"), "cannot be read"),
        (("check", "--calibration", "taxonomy.yaml"), "not whole: no JSON"),
        (("ask", "x", "--calibration", "c.json", "--threshold", "0.5"), "c.json"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(cli: Cli, files: Path, arguments: tuple[str, ...], words: str) -> None:
    """One line that says what, where and how to mend it."""
    done = cli(*arguments, "--quiet")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert words in done.err
    assert not (files / "c.json").exists()


def test_a_calibration_and_a_threshold_do_not_go_together(cli: Cli, files: Path) -> None:
    """One is a promise, the other a wish."""
    assert cli(*MAKE, "--quiet").code == 0
    done = cli("ask", "refund", *LEARNT, "--calibration", "c.json", "--threshold", "0.5", "--quiet")
    assert done.code == 2
    assert "threshold: given besides a calibration, which says what is accepted" in done.err


def test_tickets_are_asked_about_again(cli: Cli, files: Path) -> None:
    """The same model says the same; a file of other tickets helps nothing; no text stands in the calibration."""
    assert cli(*MAKE, "--quiet").code == 0
    done = cli("check", *LEARNT, "--calibration", "c.json", "--again", "labelled.csv")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].endswith(" of its tickets: 0 answered otherwise than when it was made")
    data = json.loads(cli("check", *LEARNT, "--calibration", "c.json", "--again", "labelled.csv", "--json").out)
    assert data["fits"]
    assert 20 <= data["asked"] <= 40
    assert data["moved"] == 0
    other = cli("check", *LEARNT, "--calibration", "c.json", "--again", "fresh.csv", "--quiet")
    assert other.code == 2
    assert "holds none of the tickets that the calibration was made on" in other.err
    text = (files / "c.json").read_text(encoding="utf-8")
    assert not any(row["content"] in text for row in rows(files / "labelled.csv"))


@pytest.mark.slow
def test_a_run_is_not_resumed_under_another_calibration(cli: Cli, files: Path) -> None:
    """What was accepted under one promise is no part of another."""
    assert cli(*MAKE, "--quiet").code == 0
    assert cli(*MAKE[:-1], "d.json", "--delta", "0.2", "--quiet").code == 0
    flags = ("classify", "fresh.csv", *LEARNT, "-o", "out.csv", "--quiet", "--calibration")
    assert cli(*flags, "c.json").code == 0
    assert cli(*flags, "c.json", "--resume").code == 0
    done = cli(*flags, "d.json", "--resume")
    assert done.code == 2
    assert "cannot go on behind it" in done.err
