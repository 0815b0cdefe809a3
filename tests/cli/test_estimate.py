"""What a run would take, before anything is asked, and what limits and caches do to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from llmtriage.measured import Measured, recall, remember
from llmtriage.tables import read_rows

pytestmark = pytest.mark.usefixtures("by_json")

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Cli, Serve

BACKEND = "openai:m@http://127.0.0.1:9/v1"
PRICES = '[prices."m"]\ninput = 1.0\noutput = 4.0\ncached_input = 0.1\ncurrency = "EUR"\n'
ANSWER = '{"category": "refund", "confidence": 0.9}'


def reply(prompt_tokens: int = 900) -> bytes:
    """A chat completion with its usage."""
    choice = {"message": {"content": ANSWER}, "finish_reason": "stop"}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 800}}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def many(folder: Path, number: int, name: str = "many.csv") -> None:
    """A file of different tickets."""
    rows = "".join(f"{n},I want my money back for order number {n}\n" for n in range(number))
    (folder / name).write_text(f"id,content\n{rows}", encoding="utf-8")


def test_an_estimate_asks_nothing_and_counts_everything(cli: Cli, tmp_path: Path) -> None:
    """Nobody listens at the address; gated and repeated tickets are no requests."""
    (tmp_path / "llmtriage.toml").write_text(PRICES, encoding="utf-8")
    (tmp_path / "in.csv").write_text("id,content\n1,money back\n2,x\n3,money back\n4,快递到哪里了\n", encoding="utf-8")
    done = cli("classify", "in.csv", "--backend", BACKEND, "--estimate", "--json", "--quiet")
    found: dict[str, Any] = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert [found[key] for key in ("tickets", "gated", "repeated", "known", "calls")] == [4, 1, 1, 0, 2]
    assert found["shared"] > 0.8
    assert found["prompt_tokens"] > found["shared_tokens"] > found["prompt_tokens"] / 2
    assert found["cost"] == pytest.approx((found["prompt_tokens"] + 4 * found["output_tokens"]) / 1e6)
    assert found["cost_cached"] < found["cost"]
    assert (found["currency"], found["seconds"], found["measured"]) == ("EUR", None, None)
    assert "money back after a return" in found["prompt"]
    assert "money back\n</ticket-" in found["prompt"]
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            [
                "120 tickets: 0 decided without the engine",
                "120 requests to openai:m@",
                "the same for every ticket",
                "no price is known",
                "no rate was measured",
                "may be off by a third",
                "--- the first request",
            ],
        ),
        (
            "zh",
            [
                "120 张工单：0 张无需询问",
                "发出 120 次请求",
                "每张工单都相同",
                "没有价格",
                "尚未测量",
                "误差可达三分之一",
                "--- 第一个请求",
            ],
        ),
    ],
)
def test_an_estimate_for_people(cli: Cli, tmp_path: Path, language: str, words: list[str]) -> None:
    """In words, with what is missing and how to get it."""
    many(tmp_path, 120)
    done = cli("classify", "many.csv", "--backend", BACKEND, "--estimate", "--language", language)
    assert done.code == 0
    assert [word for word in words if word not in done.out] == []


def test_an_estimate_uses_what_was_measured(cli: Cli, tmp_path: Path) -> None:
    """The rate, the ratio of tokens and the length of answers."""
    many(tmp_path, 100)
    before = json.loads(cli("classify", "many.csv", "--backend", BACKEND, "--estimate", "--json", "--quiet").out)
    measured = Measured(
        tickets_per_second=5, prompt_ratio=0.5, output_tokens=7, when="2026-11-01T10:00:00+00:00", source="doctor"
    )
    remember("http://127.0.0.1:9/v1", "m", measured)
    after = json.loads(cli("classify", "many.csv", "--backend", BACKEND, "--estimate", "--json", "--quiet").out)
    assert after["prompt_tokens"] == pytest.approx(before["prompt_tokens"] / 2, abs=1)
    assert (after["seconds"], after["output_tokens"]) == (20, 700)
    assert after["measured"] == "doctor, 2026-11-01T10:00:00+00:00"
    assert (
        "time: about 20 s at 5.0 tickets/s (doctor, 2026-11-01"
        in cli("classify", "many.csv", "--backend", BACKEND, "--estimate").out
    )


def test_an_engine_without_a_server_costs_nothing(cli: Cli) -> None:
    """It says so."""
    done = cli("classify", "tickets.csv", "--estimate")
    assert done.code == 0
    assert "lexical asks no server: no requests, no cost" in done.out


def test_a_run_tells_what_it_took_and_keeps_its_rate(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """Requests, tokens, cost; the next estimate knows how fast this server is."""
    (tmp_path / "llmtriage.toml").write_text(PRICES, encoding="utf-8")
    many(tmp_path, 30)
    server = serve(lambda _: (200, reply()))
    done = cli("classify", "many.csv", "-o", "out.csv", "--backend", server.backend)
    assert done.code == 0
    assert "30 asked, 0 known without a request; 30 requests, 27000 tokens in (24000 cached), 360 out, 0.0068 EUR" in done.err
    kept = recall(server.url, "m")
    assert kept is not None
    assert (kept.output_tokens, kept.source) == (12, "a run of 30 tickets")
    data = json.loads(cli("classify", "many.csv", "-o", "o2.csv", "--backend", server.backend, "--json", "--quiet").out)
    assert data["usage"]["prompt_tokens"] == 27000
    assert data["cost"] == pytest.approx((3000 + 24000 * 0.1 + 360 * 4) / 1e6)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "words"), [("--max-tokens=20000", "of 20000 tokens"), ("--max-cost=0.02", "of 0.02 EUR")])
def test_a_run_stops_at_its_limit_and_goes_on(cli: Cli, tmp_path: Path, serve: Serve, limit: str, words: str) -> None:
    """Exit code 5, an exact beginning, and nothing asked twice afterwards."""
    (tmp_path / "llmtriage.toml").write_text(PRICES.replace("cached_input = 0.1\n", ""), encoding="utf-8")
    many(tmp_path, 200)
    server = serve(lambda _: (200, reply()))
    done = cli("classify", "many.csv", "-o", "out.csv", "--backend", server.backend, "--quiet", limit)
    decided = [str(row.cells["id"]) for row in read_rows(tmp_path / "out.csv")]
    assert done.code == 5
    assert f"the limit {words} is reached; it holds for one run; {len(decided)} of 200 tickets are decided" in done.err
    assert decided == [str(n) for n in range(len(decided))]
    assert 15 <= len(decided) == server.requests <= 22
    asked = server.requests
    assert cli("classify", "many.csv", "-o", "out.csv", "--backend", server.backend, "--quiet", "--resume").code == 0
    assert server.requests - asked <= 200 - len(decided)


@pytest.mark.slow
def test_a_run_stops_after_so_many_tickets(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """Exactly; the next run takes as many more, and says what it took."""
    many(tmp_path, 50)
    server = serve(lambda _: (200, reply()))
    command = ["classify", "many.csv", "-o", "out.csv", "--backend", server.backend, "--quiet", "--max-tickets", "20"]
    done = cli(*command)
    assert done.code == 5
    assert "the limit of 20 tickets is reached; it holds for one run; 20 of 50 tickets are decided, 30 are not" in done.err
    assert "20 requests, 18000 tokens in" in done.err
    assert (server.requests, len(list(read_rows(tmp_path / "out.csv")))) == (20, 20)
    assert cli(*command, "--resume").code == 5
    assert cli(*command, "--resume").code == 0
    assert (server.requests, len(list(read_rows(tmp_path / "out.csv")))) == (50, 50)


@pytest.mark.slow
def test_both_settings_of_a_comparison_share_one_limit(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """It is the command's."""
    rows = "".join(f"{n},I want my money back for order {n},refund\n" for n in range(30))
    (tmp_path / "labelled.csv").write_text(f"id,content,category\n{rows}", encoding="utf-8")
    server = serve(lambda _: (200, reply()))
    flags = ["--backend", server.backend, "--against", "rationale=true", "--max-tokens", "40000", "--quiet"]
    done = cli("evaluate", "labelled.csv", *flags)
    assert done.code == 5
    assert 30 < server.requests <= 45


def test_an_estimate_is_of_the_whole_file(cli: Cli) -> None:
    """What is left cannot be told from it, so that is not asked for."""
    done = cli("classify", "tickets.csv", "--backend", BACKEND, "-o", "out.csv", "--estimate", "--resume")
    assert done.code == 2
    assert "the estimate is of the whole file; leave out --resume" in done.err


def test_a_limit_below_one_request_says_so(cli: Cli, serve: Serve) -> None:
    """And what one request may take."""
    server = serve(lambda _: (200, reply()))
    done = cli("classify", "tickets.csv", "-o", "out.csv", "--backend", server.backend, "--max-tokens", "100", "--quiet")
    assert done.code == 5
    assert "the limit of 100 tokens is too low for one request, which may take " in done.err
    assert server.requests == 0


def test_a_run_that_decided_nothing_leaves_nothing_in_the_way(cli: Cli, serve: Serve) -> None:
    """The same command with the right address goes on."""
    assert cli("classify", "tickets.csv", "-o", "out.csv", "--backend", BACKEND, "--quiet", "--attempts", "1").code == 4
    server = serve(lambda _: (200, reply()))
    assert cli("classify", "tickets.csv", "-o", "out.csv", "--backend", server.backend, "--quiet").code == 0
    assert cli("classify", "tickets.csv", "-o", "out.csv", "--backend", server.backend, "--quiet").code == 2


def test_a_mistyped_variable_is_named_with_its_table(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the nearest key."""
    monkeypatch.setenv("LLMTRIAGE_PATIENCE__OUTAG", "3")
    done = cli("classify", "tickets.csv", "--backend", BACKEND)
    assert done.code == 2
    assert "LLMTRIAGE_PATIENCE__OUTAG: unknown key; did you mean 'outage'?" in done.err


def test_a_table_with_the_wrong_name_is_not_printed(cli: Cli, tmp_path: Path) -> None:
    """It may hold what is private."""
    (tmp_path / "llmtriage.toml").write_text('[backend.x]\nkind = "openai"\nheaders = {X-Key = "secret"}\n', encoding="utf-8")
    done = cli("classify", "tickets.csv")
    assert done.code == 2
    assert "llmtriage.toml: backend: a table is not text in quotes; engines are tables of their own: [backends.NAME]" in done.err
    assert "secret" not in done.err


def test_money_needs_a_price(cli: Cli, tmp_path: Path) -> None:
    """One line with the table to write; a mistyped key in it is found."""
    done = cli("classify", "tickets.csv", "--backend", BACKEND, "--max-cost", "1")
    assert done.code == 2
    assert "no price is known for the model 'm'; add a table [prices.\"m\"]" in done.err
    (tmp_path / "llmtriage.toml").write_text('[prices."m"]\ninptu = 1\noutput = 2\n', encoding="utf-8")
    done = cli("classify", "tickets.csv", "--backend", BACKEND)
    assert done.code == 2
    assert "llmtriage.toml: prices.m.inptu: unknown key; did you mean 'input'?" in done.err


@pytest.mark.slow
def test_a_second_run_from_the_cache_is_free_and_says_so(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """Also in the estimate before it; other settings are other requests."""
    many(tmp_path, 25)
    server = serve(lambda _: (200, reply()))
    flags = ["--backend", server.backend, "--reply-cache", "replies.db"]
    assert cli("classify", "many.csv", "-o", "one.csv", *flags).code == 0
    estimate = json.loads(cli("classify", "many.csv", "--estimate", "--json", "--quiet", *flags).out)
    assert (estimate["known"], estimate["calls"], estimate["prompt_tokens"]) == (25, 0, 0)
    done = cli("classify", "many.csv", "-o", "two.csv", *flags)
    assert "0 asked, 25 known without a request; 0 requests, 0 tokens in" in done.err
    assert server.requests == 25
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert cli("classify", "many.csv", "-o", "three.csv", "--rationale", *flags, "--quiet").code == 0
    assert server.requests == 50


@pytest.mark.parametrize(
    "content", [b"not a database, and long enough to be sure of it" * 20, b"SQLite format 3\0" + b"\0" * 2000]
)
def test_a_cache_that_is_none(cli: Cli, tmp_path: Path, content: bytes) -> None:
    """Another file, or a broken one: one line, and the file is as it was."""
    (tmp_path / "replies.db").write_bytes(content)
    done = cli("classify", "tickets.csv", "--backend", BACKEND, "--reply-cache", "replies.db")
    assert done.code == 2
    assert "replies.db: " in done.err
    assert "name another file" in done.err
    assert (tmp_path / "replies.db").read_bytes() == content


def test_answers_that_were_not_to_be_read_are_asked_for_again(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """The cache keeps what could be read."""
    many(tmp_path, 5)
    bad = json.dumps({"choices": [{"message": {"content": "I cannot say"}, "finish_reason": "stop"}]}).encode()
    server = serve(lambda number: (200, bad if number <= 5 else reply()))
    flags = ["--backend", server.backend, "--reply-cache", "replies.db", "--no-repair", "--quiet"]
    assert cli("classify", "many.csv", "-o", "one.csv", *flags).code == 0
    assert cli("classify", "many.csv", "-o", "two.csv", *flags).code == 0
    assert server.requests == 10
    assert {str(row.cells["suggestion"]) for row in read_rows(tmp_path / "two.csv")} == {"refund"}


def test_the_same_ticket_many_times_is_asked_once(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """Each of them gets the answer."""
    (tmp_path / "same.csv").write_text("id,content\n" + "".join(f"{n},money back please\n" for n in range(50)), encoding="utf-8")
    server = serve(lambda _: (200, reply()))
    done = cli("classify", "same.csv", "-o", "out.csv", "--backend", server.backend)
    assert "1 asked, 49 known without a request; 1 requests" in done.err
    assert server.requests == 1
    assert len(list(read_rows(tmp_path / "out.csv"))) == 50
