"""`llmtriage evaluate --predictions`: alone, beside tickets, two files against each other, by slice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import Cli, Serve

PREDICTED = """\
id,gold,pred,confidence,channel
T1,refund,refund,0.9,mail
T2,退款,refund,0.8,chat
T3,退款,退款,0.7,chat
T4,refund,refund,0.4,mail
"""
F2 = [0.99, 0.97, 0.97, 0.95, 0.92, 0.90, 0.90, 0.90, 0.85, 0.80, 0.80, 0.75, 0.70, 0.65, 0.60, 0.60, 0.55, 0.50, 0.45, 0.40]
FIRST = [1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0]
SECOND = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0]


@pytest.fixture
def predicted(cli: Cli, tmp_path: Path) -> Path:
    """A file of predictions."""
    path = tmp_path / "p.csv"
    path.write_text(PREDICTED, encoding="utf-8")
    return path


def data(cli: Cli, *arguments: object) -> dict[str, Any]:
    """The JSON of an evaluation."""
    done = cli("evaluate", *arguments, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_figures_of_a_file(cli: Cli, predicted: Path) -> None:
    """No engine, no taxonomy of the folder, no prompt, no time."""
    found = data(cli, "--predictions", predicted, "--threshold", "0.5")
    assert (found["n"], found["accuracy"], found["accepted"]["n"], found["accepted"]["errors"]) == (4, 0.75, 3, 1)
    assert found["backend"] == "predictions:p.csv"
    assert found["settings"] == {"threshold": 0.5, "departments": False, "file": "p.csv", "predictions": "p.csv"}
    assert (found["prompt_hash"], found["seconds"], found["log_loss"], found["slices"]) == (None, None, None, [])
    assert set(found["usage"].values()) == {None}
    assert found["baselines"] == {"majority": None, "linear_svm": None, "majority_of_evaluated": 0.5}
    assert found["business"]["minutes_saved_per_1000"] is None
    again = data(cli, "--predictions", predicted, "--threshold", "0.5")
    assert again["run"] == found["run"] != data(cli, "--predictions", predicted, "--threshold", "0.6")["run"]


def test_the_text_in_both_languages(cli: Cli, predicted: Path) -> None:
    """With slices and what it is worth."""
    flags = ["--by", "channel", "--by", "language", "--minutes-manual", 3, "--error-cost", 5, "--wage-per-hour", 40]
    english = cli("evaluate", "--predictions", predicted, "--threshold", 0.5, *flags).out
    assert "Engine            predictions:p.csv" in english
    assert "By channel\nvalue  tickets  share right" in english
    assert "By language\n" in english
    assert "(not given)        4" in english
    assert "Minutes saved, 1,000 tickets" in english
    chinese = cli("evaluate", "--predictions", predicted, "--threshold", 0.5, *flags, "--language", "zh").out
    assert "按渠道\n取值" in chinese
    assert "（未注明）" in chinese
    assert "每 1,000 张节省的分钟数" in chinese


@pytest.mark.slow
def test_the_page(cli: Cli, predicted: Path, tmp_path: Path) -> None:
    """All of it, also where nothing is known but right and wrong."""
    flags = ["--by", "channel", "--minutes-manual", 3, "--threshold", 0.5]
    done = cli("evaluate", "--predictions", predicted, *flags, "--report", "r.html", "--language", "zh")
    assert done.code == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in ("按渠道", "业务价值", "predictions:p.csv", "--predictions p.csv", "退款"):
        assert words in page
    (tmp_path / "c.csv").write_text("correct,confidence\n1,0.9\n0,0.6\n1,0.7\n", encoding="utf-8")
    assert cli("evaluate", "--predictions", "c.csv", "--report", "c.html").code == 0
    bare = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "The file says of each answer only whether it is right" in bare
    assert 'id="categories"' not in bare
    assert cli("evaluate", "--predictions", "c.csv", "--report", "c.csv", "--overwrite").code == 2


def test_limits_hold_here_too(cli: Cli, predicted: Path) -> None:
    """By the names of the JSON; a figure that does not exist misses every limit."""
    assert cli("evaluate", "--predictions", predicted, "--fail-under", "accuracy=0.7").code == 0
    missed = cli("evaluate", "--predictions", predicted, "--fail-over", "log_loss=9")
    assert (missed.code, missed.err) == (1, "log_loss is null (it does not exist here), wanted: at most 9\n")
    worth = ["--minutes-manual", 2, "--threshold", 0.5, "--fail-under", "business.minutes_saved_per_1000=1000"]
    assert cli("evaluate", "--predictions", predicted, *worth).code == 0  # 1000 x (4 x 2 - 1 x 2 - 1 x 2) / 4


def test_beside_the_file_of_tickets(cli: Cli, predicted: Path, tmp_path: Path) -> None:
    """Joined by id, whatever the order; texts make slices and examples; what has no prediction is told."""
    rows = "T4,my money,refund,mail\nT1,refund please,refund,mail\nT5,还没收到钱,退款,chat\nT3,我要退款,退款,chat\nT2,退钱,退款,chat\n"
    (tmp_path / "t.csv").write_text(f"id,content,category,shop\n{rows}", encoding="utf-8")
    done = cli("evaluate", "t.csv", "--predictions", predicted, "--by", "language", "--by", "shop", "--threshold", 0.5, "--json")
    assert done.err == "note: 1 of 5 tickets have no prediction: they count as wrong\n"
    found = json.loads(done.out)
    assert (found["n"], found["unanswered"], found["accuracy"]) == (5, 1, 0.6)
    by_language, by_shop = found["slices"]
    assert [(part["value"], part["n"]) for part in by_language["groups"]] == [("guessed zh", 3), ("guessed other", 2)]
    assert [(part["value"], part["accepted"]["errors"]) for part in by_shop["groups"]] == [("chat", 1), ("mail", 0)]
    chinese = cli("evaluate", "t.csv", "--predictions", predicted, "--language", "zh")
    assert chinese.err == "注意：5 张工单中有 1 张没有预测，计为错误\n"
    assert "| 退钱" in chinese.out


def test_two_files_side_by_side(cli: Cli, predicted: Path, tmp_path: Path) -> None:
    """Paired by id, whatever the order of the rows."""
    head, *rows = PREDICTED.replace("T2,退款,refund", "T2,退款,退款").splitlines()
    (tmp_path / "b.csv").write_text("\n".join([head, *reversed(rows)]) + "\n", encoding="utf-8")
    found = data(cli, "--predictions", predicted, "--against", "b.csv", "--threshold", 0.5)
    difference = found["difference"]
    assert (difference["only_first_right"], difference["only_second_right"], difference["p"]) == (0, 1, 1)
    assert (difference["accuracy"], difference["cost"], difference["accuracy_bootstrap"]) == (0.25, -5000, None)
    assert (found["second"]["setting"], found["labels"]["n"], found["labels"]["file"]) == ("b.csv", 4, "p.csv")
    named = data(cli, "--predictions", predicted, "--against", "predictions=b.csv", "--threshold", 0.5)
    assert named["difference"] == difference
    threshold = data(cli, "--predictions", predicted, "--against", "threshold=0.75", "--threshold", 0.5)
    assert threshold["difference"]["share"] == -0.25
    chinese = cli("evaluate", "--predictions", predicted, "--against", "b.csv", "--language", "zh").out
    assert "第二种  b.csv：predictions:b.csv" in chinese
    assert "McNemar 精确检验，p = 1" in chinese


def test_two_files_without_ids(cli: Cli, tmp_path: Path) -> None:
    """Row by row, which a line says: worked figures, and the bootstrap of each row drawn twice over."""
    for name, right in (("a.csv", FIRST), ("b.csv", SECOND)):
        rows = "".join(f"{one},{sure}\n" for one, sure in zip(right, F2, strict=True))
        (tmp_path / name).write_text(f"correct,confidence\n{rows}", encoding="utf-8")
        (tmp_path / f"two-{name}").write_text(f"correct,confidence\n{rows}{rows}", encoding="utf-8")
    done = cli("evaluate", "--predictions", "a.csv", "--against", "b.csv", "--json")
    assert done.err == "".join(
        f"note: {name} has no ids: its rows are taken for the same tickets in the same order\n" for name in ("a.csv", "b.csv")
    )
    difference = json.loads(done.out)["difference"]
    assert (difference["only_first_right"], difference["only_second_right"]) == (1, 4)
    assert (difference["p"], difference["mid_p"], difference["log_loss"]) == (0.375, 0.21875, None)
    assert difference["accuracy"] == pytest.approx(0.15)
    twice = data(cli, "--predictions", "two-a.csv", "--against", "two-b.csv", "--quiet")["difference"]
    change = np.tile(np.array(SECOND) - np.array(FIRST), 2)
    drawn = change[np.random.default_rng(0).integers(0, 40, (2000, 40))].mean(axis=1)
    assert twice["accuracy_bootstrap"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.026)
    assert twice == data(cli, "--predictions", "two-a.csv", "--against", "two-b.csv", "--quiet")["difference"]


def test_an_engine_against_what_was_stored(cli: Cli, predicted: Path, tmp_path: Path) -> None:
    """The tickets of a file, asked now, and predictions of before."""
    rows = "T1,I want my money back,refund\nT2,where is my parcel,parcel\n"
    (tmp_path / "t.csv").write_text(f"id,content,category\n{rows}", encoding="utf-8")
    (tmp_path / "p.csv").write_text("id,pred,confidence\nT2,refund,0.5\nT1,refund,0.5\n", encoding="utf-8")
    found = data(cli, "t.csv", "--backend", "lexical", "--against", "predictions=p.csv")
    assert (found["first"]["backend"], found["second"]["backend"]) == ("lexical", "predictions:p.csv")
    assert (found["difference"]["only_second_right"], found["second"]["accuracy"]) == (0, 0.5)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            PREDICTED.replace("T4", "T9"),
            "b.csv: no prediction for the ticket 'T4', which the other file has; compare predictions",
        ),
        (PREDICTED + "T9,refund,refund,0.4,mail\n", "p.csv: no prediction for the ticket 'T9', which the other file has"),
        (PREDICTED.replace("T4", "T1"), "b.csv: the ticket 'T1' stands twice; give each ticket an id of its own"),
        (PREDICTED.replace("T4,refund", "T4,退款"), "b.csv: the ticket 'T4' is '退款' here and 'refund' in p.csv; mend one"),
        ("correct,confidence\n1,0.5\n", "--against: one of the two files says only whether answers are right, the other names"),
        (PREDICTED, "--against: both settings come to the same"),
    ],
)
def test_two_files_that_do_not_fit(cli: Cli, predicted: Path, tmp_path: Path, other: str, words: str) -> None:
    """One line."""
    (tmp_path / "b.csv").write_text(other, encoding="utf-8")
    done = cli("evaluate", "--predictions", predicted.name, "--against", "b.csv", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"llmtriage: {words}")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--predictions", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--predictions", "empty.csv"], "empty.csv: the file is empty"),
        (
            ["--predictions", "p.csv", "--taxonomy", "taxonomy.yaml"],
            "p.csv:3: unknown category '退款'; did you mean 'refund'?",
        ),
        (
            ["--predictions", "typo.csv", "--taxonomy", "taxonomy.yaml"],
            "typo.csv:2: unknown category 'refnd'; did you mean 'refund'?",
        ),
        (
            ["--predictions", "p.csv", "--backend", "lexical"],
            "--backend: predictions are stored, so no engine is asked; leave it out",
        ),
        (["--predictions", "p.csv", "--scores", "logit"], "p.csv: no column of scores"),
        (["--predictions", "p.csv", "--by", "chanel"], "--by: unknown column 'chanel'; did you mean 'channel'?"),
        (["t.csv", "--predictions", "p.csv"], "p.csv:2: a prediction for the ticket 'T1', which is not there"),
        (["t2.csv", "--predictions", "s.csv"], "t2.csv:3: unknown category 'refnd'; did you mean 'refund'?"),
        (["tickets.csv", "--scores", "logit"], "--scores: no predictions are named; name their file with --predictions"),
        (["--predictions", "p.csv", "--minutes-review", "1"], "--minutes-review: this alone tells no minutes saved"),
        (["--predictions", "p.csv", "--id-column", "nr"], "p.csv: no column 'nr'"),
        ([], "Missing argument 'FILE'; see llmtriage evaluate --help"),
    ],
)
def test_what_cannot_be_evaluated(cli: Cli, predicted: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    """One line, exit code 2."""
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "t.csv").write_text("id,content,category\nX,hello there,refund\n", encoding="utf-8")
    (tmp_path / "t2.csv").write_text("id,content,category\nX,hello there,refund\nY,hello,refnd\n", encoding="utf-8")
    (tmp_path / "s.csv").write_text("id,refund,login\nX,0.5,0.5\n", encoding="utf-8")
    (tmp_path / "typo.csv").write_text("gold,pred\nrefnd,refund\n", encoding="utf-8")
    done = cli("evaluate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_one_class_only_is_told(cli: Cli, tmp_path: Path) -> None:
    """The figures are right, and say little."""
    (tmp_path / "one.csv").write_text("gold,pred\n退款,退款\n退款,退款\n", encoding="utf-8")
    done = cli("evaluate", "--predictions", "one.csv", "--json")
    assert done.err == "note: all tickets have the same true category: nothing is known about the others\n"
    assert json.loads(done.out)["accuracy"] == 1


def test_a_calibration_of_another_taxonomy_is_refused(cli: Cli, predicted: Path, tmp_path: Path) -> None:
    """Exit code 3; of the same one it routes, and a line says what could not be checked."""
    from evaluation.paged import calibrated, promise

    from llmtriage.taxonomy import Taxonomy

    made = calibrated(("refund", promise()))
    made.save(tmp_path / "c.json")
    done = cli("evaluate", "--predictions", predicted, "--calibration", "c.json")
    assert (done.code, done.out) == (3, "")
    assert "made with another taxonomy" in done.err
    own = made.model_copy(update={"contract": {"taxonomy": Taxonomy.from_labels(["refund", "退款"]).hash}})
    own.save(tmp_path / "own.json")
    done = cli("evaluate", "--predictions", predicted, "--calibration", "own.json", "--by", "channel", "--json")
    assert done.code == 0
    assert "of the calibration only the taxonomy could be checked" in done.err
    found = json.loads(done.out)
    assert found["settings"]["alpha"] == 0.1
    assert found["slices"][0]["against"] == "promise"


@pytest.mark.parametrize("form", ["logits", "correct"])
def test_the_figures_are_those_of_plain_numpy(cli: Cli, tmp_path: Path, form: str) -> None:
    """Files as others store the outputs of real models: options called A to F, or right and wrong."""
    random, letters = np.random.default_rng(0), np.array(list("ABCDEF"))
    gold = letters[random.integers(0, 4, 300)]
    logits = random.normal(60, 1, (300, 6)).round(4) + 2 * (letters == gold[:, None]) * (random.random((300, 1)) < 0.8)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    sure, right = shares.max(axis=1).round(6), letters[shares.argmax(axis=1)] == gold
    if form == "logits":
        head = "id,gold," + ",".join(f"logit_{letter}" for letter in letters)
        rows = [f"{i},{gold[i]},{','.join(map(str, map(float, logits[i])))}" for i in range(300)]
    else:
        head, rows = "correct,confidence", [f"{int(right[i])},{sure[i]}" for i in range(300)]
    path = tmp_path / "out.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    found = data(cli, "--predictions", path, "--threshold", "0.8")
    taken = sure >= 0.8
    assert found["accuracy"] == pytest.approx(right.mean())
    assert (found["accepted"]["n"], found["accepted"]["errors"]) == (taken.sum(), (taken & ~right).sum())
    assert found["top_brier"] == pytest.approx(((sure - right) ** 2).mean(), abs=1e-5)
    own = shares[np.arange(300), [list(letters).index(one) for one in gold]]
    assert found["log_loss"] == (pytest.approx(-np.log(own).mean()) if form == "logits" else None)


def test_nothing_is_asked_for_figures_that_cannot_be(cli: Cli, serve: Serve, tmp_path: Path) -> None:
    """What is wrong with the flags is found before a request costs money."""
    server = serve(lambda _: (200, b"{}"))
    (tmp_path / "t.csv").write_text("id,content,category\nX,hello there,refund\n", encoding="utf-8")
    for flags in (["--wage-per-hour", 30], ["--by", "shop"], ["--against", "predictions=nowhere.csv"]):
        done = cli("evaluate", "t.csv", "--backend", server.backend, *flags)
        assert (done.code, done.out, server.requests) == (2, "", 0)


def test_examples_show_no_personal_data(cli: Cli, predicted: Path, tmp_path: Path) -> None:
    """Texts of tickets are prepared as an engine would see them."""
    (tmp_path / "t.csv").write_text("id,content,category\nT1,请联系 13812345678 退款,退款\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text("id,pred\nT1,refund\n", encoding="utf-8")
    out = cli("evaluate", "t.csv", "--predictions", "p.csv", "--quiet").out
    assert "请联系" in out
    assert "13812345678" not in out
