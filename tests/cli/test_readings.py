"""Runs of the command line against a model that reads the list: how it is read, and what of that is told, kept and estimated."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toy_model import Plays, ToyModel, served

if TYPE_CHECKING:
    from cli.conftest import Cli

PLAIN: dict[str, Any] = {"tokenize": False, "known": False}  # a server that has nothing but the chat route
SURE = ["--threshold", "0.5"]


class Toy:
    """A toy model behind a port."""

    def __init__(self, model: ToyModel, url: str) -> None:
        self.model = model
        self.openai, self.vllm = f"openai:toy@{url}", f"vllm:toy@{url}"

    @property
    def asked(self) -> int:
        """Chat requests so far."""
        return len(self.model.asked)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found out in one test is not known in the next."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def toy() -> Iterator[Any]:
    """Start toy models; all are stopped at the end."""
    with ExitStack() as stack:

        def start(**plays: Any) -> Toy:
            model = ToyModel(Plays(**plays))
            return Toy(model, stack.enter_context(served(model)))

        yield start


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Forty tickets of the taxonomy that `cli` writes, with their labels."""
    words = [("money back please", "refund"), ("where is my delivery", "parcel"), ("cannot sign in", "login"), ("hello", "other")]
    with (tmp_path / "many.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "content", "category"])
        writer.writerows([f"N{i}", f"{words[i % 4][0]} {i}", words[i % 4][1]] for i in range(40))
    return tmp_path / "many.csv"


def rows(path: Path) -> list[dict[str, str]]:
    """An output file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


# -- what is told ----------------------------------------------------------------------------------


def test_a_run_says_how_it_reads(cli: Cli, toy: Any, tmp_path: Path) -> None:
    """In one line, before the tickets; each gets a probability for every category."""
    server = toy()
    done = cli("classify", "tickets.csv", "--backend", server.vllm, "-o", "out.csv", *SURE)
    assert done.code == 0, done.err
    line = done.err.splitlines()[0]
    assert line == (
        f"note: {server.vllm}: read by one token: a probability for every category; codes: letters; "
        "97.0% of the probability lies on them"
    )
    decided = {row["id"]: row for row in rows(tmp_path / "out.csv")}
    assert {name: row["category"] for name, row in decided.items() if row["outcome"] == "accepted"} == {
        "T1": "refund",
        "T2": "parcel",
        "T5": "login",
    }
    scores = [float(part.rpartition("=")[2]) for part in decided["T1"]["candidates"].split()]
    assert len(scores) == 4
    assert sum(scores) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("plays", "words"),
    [
        pytest.param({}, "读取方式：一个 token，得到每个类别的概率；代码：letters；97.0% 的概率落在代码上", id="token"),
        pytest.param(
            {"state": "null"},
            "读取方式：5 votes，每张工单问这么多次；--reading json 只问一次，但没有概率；"
            "不能用 token（the server listed no log-probabilities）",
            id="votes",
        ),
    ],
)
def test_it_says_so_in_chinese(cli: Cli, toy: Any, plays: dict[str, Any], words: str) -> None:
    """With the reasons against better ways."""
    server = toy(**PLAIN, **plays)
    done = cli("classify", "tickets.csv", "--backend", server.openai, "-o", "out.csv", "--language", "zh", *SURE)
    assert done.code == 0, done.err
    assert done.err.splitlines()[0].startswith(f"注意：{server.openai}: {words}")


def test_quiet_is_quiet(cli: Cli, toy: Any) -> None:
    """No line, also where the best way does not work."""
    server = toy(**PLAIN, state="null")
    done = cli("classify", "tickets.csv", "--backend", server.openai, "-o", "out.csv", "--quiet", *SURE)
    assert (done.code, done.err) == (0, "")


def test_one_ticket_at_once(cli: Cli, toy: Any) -> None:
    """One trial and one request; with JSON nothing else is said."""
    server = toy(**PLAIN)
    done = cli("ask", "I want my money back", "--backend", server.openai, "--json", *SURE)
    data = json.loads(done.out)
    assert (done.code, done.err, server.asked) == (0, "", 2)
    assert (data["outcome"], data["category"]) == ("accepted", "refund")
    assert sum(candidate["score"] for candidate in data["candidates"]) == pytest.approx(1)
    said = cli("ask", "I want my money back", "--backend", server.openai, *SURE)
    assert "read by one token" in said.err
    assert said.out.startswith("accepted: refund")


def test_many_categories_are_told(cli: Cli, toy: Any, tmp_path: Path) -> None:
    """How many a question takes, and how often a shortlist misses."""
    names = [f"{first}{second}" for first in "bdfgk" for second in ("anana", "elon", "inger", "otato", "ugar", "aisin")]
    (tmp_path / "wide.yaml").write_text("categories:\n" + "".join(f"  - id: {name}\n" for name in names))
    with (tmp_path / "known.csv").open("w", encoding="utf-8") as stream:
        stream.write("content,category\n" + "".join(f"{word} {name},{name}\n" for name in names for word in ("my", "the old")))
    server = toy(**PLAIN)
    flags = ["--taxonomy", "wide.yaml", "--examples", "known.csv", "--backend", server.openai, "-o", "out.csv", *SURE]
    done = cli("classify", "tickets.csv", *flags)
    assert done.code == 0, done.err
    assert "; at most 20 categories a question, more by auto; the shortlist misses " in done.err.splitlines()[0]


# -- what does not work ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["classify", "ask", "evaluate"])
def test_a_way_that_was_asked_for_and_does_not_work(cli: Cli, toy: Any, many: Path, command: str) -> None:
    """Exit code 4, one line, and nothing written."""
    server = toy(**PLAIN, state="refused")
    what = {"classify": ("tickets.csv", "-o", "out.csv"), "ask": ("money back",), "evaluate": (str(many),)}
    done = cli(command, *what[command], "--backend", server.openai, "--reading", "token", "--quiet")
    assert (done.code, done.out, len(done.err.splitlines())) == (4, "", 1)
    assert "it cannot be read by --reading token: the server does not take the field 'logprobs' (400)" in done.err
    assert not many.with_name("out.csv").exists()


def test_a_passing_fault_at_the_start(cli: Cli, toy: Any) -> None:
    """Exit code 4, and the next try is as the first."""
    server = toy(**PLAIN, fault=lambda number, path: (503, {}) if number <= 3 else None)
    flags = ["tickets.csv", "-o", "out.csv", "--backend", server.openai, *SURE]
    done = cli("classify", *flags)
    assert (done.code, len(done.err.splitlines())) == (4, 1)
    assert "a first question got no answer: the server answered 503; try again when the server answers" in done.err
    assert "read by one token" in cli("classify", *flags).err


@pytest.mark.slow
def test_a_server_that_is_gone(cli: Cli, toy: Any) -> None:
    """The same for one ticket and for a file: no connection, at once."""
    with served(ToyModel()) as url:
        pass
    for arguments in (["ask", "money back"], ["classify", "tickets.csv", "-o", "out.csv"]):
        for kind in ("vllm", "openai"):
            done = cli(*arguments, "--backend", f"{kind}:toy@{url}", "--quiet")
            assert (done.code, len(done.err.splitlines())) == (4, 1)
            assert "no connection to" in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--rationale", "--reading", "token"], "a rationale is no single token", id="rationale"),
        pytest.param(["--debias", "permute", "--codes", "words"], "words cannot change places", id="words"),
        pytest.param(["--debias", "permute", "--reading", "votes"], "only log-probabilities can be corrected", id="votes"),
        pytest.param(
            ["--debias", "content-free", "--selector", "nearest", "--examples", "many.csv"],
            "one fixed correction is wrong where each ticket has examples of its own; use --debias permute",
            id="own examples",
        ),
    ],
)
def test_flags_that_do_not_go_together(cli: Cli, toy: Any, many: Path, flags: list[str], words: str) -> None:
    """Exit code 2, and nothing was sent."""
    server = toy()
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--backend", server.vllm, "--quiet", *flags)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert words in done.err
    assert server.model.paths == []


# -- a model that changes --------------------------------------------------------------------------


def test_a_model_that_changes_under_way(cli: Cli, toy: Any, many: Path, tmp_path: Path) -> None:
    """Exit code 5; what was decided is kept; the run goes on with the model that it began with, and with no other."""
    server = toy(**PLAIN, models=("toy-1", "toy-2"), change=15)
    flags = ["classify", many, "-o", "out.csv", "--backend", server.openai, "--concurrency", "2", "--quiet", *SURE]
    done = cli(*flags)
    assert done.code == 5
    assert "the server now answers as 'toy-2'; this run began with 'toy-1'; name a model whose version is fixed" in done.err
    before = rows(tmp_path / "out.csv")
    assert 10 <= len(before) < 15
    assert f"{len(before)} of 40 tickets are decided" in done.err
    server.model.plays = Plays(**PLAIN, models=("toy-2",))
    refused = cli(*flags, "--resume")
    assert refused.code == 2
    assert "it was written by run" in refused.err
    server.model.plays = Plays(**PLAIN)
    asked = server.asked
    assert cli(*flags, "--resume").code == 0
    after = rows(tmp_path / "out.csv")
    assert (len(after), after[: len(before)]) == (40, before)
    assert len({row["run"] for row in after}) == 1
    assert server.asked - asked <= 2 + 40 - len(before)  # nothing decided was asked again; the trial, and what was kept once more


def test_a_run_is_the_same_whoever_asked_before(cli: Cli, toy: Any, tmp_path: Path) -> None:
    """What was kept makes the next run quicker, and not another."""
    server = toy()
    runs, paths = [], []
    for _ in range(2):
        assert cli("classify", "tickets.csv", "-o", "out.csv", "--overwrite", "--backend", server.vllm, *SURE).code == 0
        runs.append({row["run"] for row in rows(tmp_path / "out.csv")})
        paths.append(len(server.model.paths))
        server.model.paths.clear()
    assert runs[0] == runs[1]
    assert paths[1] == 1 + 1 + 4 < paths[0]  # a look at the tokenizer, the trial, the tickets


# -- before anything is sent -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "calls"),
    [
        pytest.param(["--reading", "token"], 4, id="token"),
        pytest.param(["--reading", "votes", "--votes", "7"], 28, id="votes"),
        pytest.param(["--reading", "json"], 4, id="json"),
        pytest.param(["--debias", "permute"], 8, id="permute"),
    ],
)
def test_an_estimate_sends_nothing(cli: Cli, toy: Any, flags: list[str], calls: int) -> None:
    """And says as many requests as the run then takes, apart from the trial."""
    server = toy()
    done = cli("classify", "tickets.csv", "--backend", server.vllm, "--estimate", "--json", *flags)
    assert server.model.paths == []
    assert json.loads(done.out)["calls"] == calls
    assert cli("classify", "tickets.csv", "-o", "out.csv", "--backend", server.vllm, "--quiet", *flags).code == 0
    trial = "votes" not in flags and "json" not in flags
    sent = sum(body.get("n", 1) for body in server.model.asked)
    assert sent == calls + trial


def test_a_prompt_is_shown_and_not_sent(cli: Cli, toy: Any) -> None:
    """By what is known: the token ids once they were found out."""
    server = toy()
    before = json.loads(cli("prompt", "money back", "--backend", server.vllm, "--json").out)["request"]
    assert server.model.paths == []
    assert (before["max_tokens"], before["top_logprobs"]) == (1, 20)
    cli("ask", "money back", "--backend", server.vllm)
    server.model.paths.clear()
    after = json.loads(cli("prompt", "money back", "--backend", server.vllm, "--json").out)["request"]
    assert server.model.paths == []
    assert len(after["logprob_token_ids"]) == 8
    assert after == server.model.asked[-1]


def test_a_wrong_label_costs_nothing(cli: Cli, toy: Any, many: Path) -> None:
    """It is found before the trial."""
    with many.open("a", encoding="utf-8") as stream:
        stream.write("N40,money back,refnd\n")
    server = toy()
    for flags in ([], ["--against", "debias=permute"]):
        done = cli("evaluate", many, "--backend", server.vllm, *flags)
        assert (done.code, server.model.paths) == (2, [])
        assert "unknown category 'refnd'" in done.err


def test_limits_hold_for_the_trial_too(cli: Cli, toy: Any) -> None:
    """Routes that cost nothing use up nothing; a limit that not even the trial keeps ends the run with code 5."""
    server = toy()
    flags = ["tickets.csv", "--backend", server.vllm, "--quiet", *SURE]
    assert cli("classify", *flags, "-o", "a.csv", "--max-tokens", "3000").code == 0
    done = cli("classify", *flags, "-o", "b.csv", "--max-tokens", "100")
    assert (done.code, len(done.err.splitlines())) == (5, 1)


# -- figures ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("reading", ["token", "json-token", "votes"])
def test_figures_that_need_a_distribution(cli: Cli, toy: Any, many: Path, reading: str) -> None:
    """Every way that gives one has them."""
    server = toy(**PLAIN)
    data = json.loads(cli("evaluate", many, "--backend", server.openai, "--reading", reading, "--json", *SURE).out)
    assert data["accuracy"] > 0.7
    assert 0 < data["log_loss"] < 1.2
    assert 0 < data["brier"] < 0.8
    assert data["auroc"] is None or 0 <= data["auroc"] <= 1


@pytest.mark.slow
def test_what_a_correction_gains_is_measured(cli: Cli, toy: Any, many: Path) -> None:
    """A model with a pull towards the first letter does better without it, by either correction and by other codes."""
    server = toy(pull={"A": 4.0}, certainty=1.0)
    gains = {}
    for against in ("debias=permute", "debias=content-free", "codes=random"):
        done = cli("evaluate", many, "--backend", server.vllm, "--against", against, "--json", *SURE)
        assert done.code == 0, done.err
        gains[against] = json.loads(done.out)["difference"]
    assert gains["debias=permute"]["log_loss"] < -0.1  # two assignments share the pull between two categories
    assert gains["debias=permute"]["accuracy"] > 0.1
    for against in ("debias=content-free", "codes=random"):  # nothing of it is left
        assert gains[against]["log_loss"] < -1
        assert gains[against]["lower_log_loss"] == "second"


def test_the_same_twice_is_not_compared(cli: Cli, toy: Any, many: Path) -> None:
    """What is chosen by itself and what is named are one setting."""
    server = toy()
    done = cli("evaluate", many, "--backend", server.vllm, "--against", "reading=token,codes=letters,debias=none")
    assert done.code == 2
    assert "both settings come to the same" in done.err


# -- settings --------------------------------------------------------------------------------------


def test_settings_of_one_engine(cli: Cli, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table over what holds for all, and flags, by the environment too, over both."""
    server = toy(**PLAIN)
    url = server.openai.partition("@")[2]
    text = f'reading = "json"\n[backends.it]\nkind = "openai"\nmodel = "toy"\nurl = "{url}"\nreading = "votes"\nvotes = 3\n'
    (tmp_path / "llmtriage.toml").write_text(text)
    flags = ["classify", "tickets.csv", "-o", "out.csv", "--overwrite", "--backend"]
    assert "read by 3 votes" in cli(*flags, "it").err
    assert "read by one answer in JSON" in cli(*flags, server.openai).err
    assert "read by one token" in cli(*flags, "it", "--reading", "token").err
    monkeypatch.setenv("LLMTRIAGE_READING", "json-token")
    assert "read by the code's token inside JSON" in cli(*flags, "it").err


def test_codes_are_chosen_by_what_they_do(cli: Cli, toy: Any, many: Path) -> None:
    """On a server of one's own, with forty examples that no prompt shows: said with the figures."""
    server = toy(pull={"A": 5.0})
    flags = ["--examples", many, "--prompt-examples", "0", "-o", "out.csv", "--backend", server.vllm, *SURE]
    done = cli("classify", "tickets.csv", *flags)
    assert done.code == 0, done.err
    line = done.err.splitlines()[0]
    assert "codes: letters" not in line
    assert "log loss on held-out examples" in line
    assert [kind in line for kind in ("letters 1.", "random 0.", "words 0.")] == [True, True, True]
