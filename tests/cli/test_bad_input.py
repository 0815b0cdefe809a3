"""What people give by mistake: each time one line that says what, where and how to mend it, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llmtriage.tables import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Cli, Done, Serve

pytestmark = pytest.mark.usefixtures("by_json")

LABELLED = "id,content,category\n1,I want my money back,refund\n2,the parcel never arrived,parcel\n"


def problem(done: Done, code: int = 2) -> str:
    """The one line of a command that could not do its work."""
    lines = [line for line in done.err.splitlines() if not line.startswith("note: ")]
    assert done.code == code, done.err
    assert len(lines) == 1, done.err
    assert lines[0].startswith("llmtriage: ")
    assert "Traceback" not in done.err
    return lines[0].removeprefix("llmtriage: ")


def outcomes(path: Path) -> list[dict[str, str]]:
    """The rows of an output; cells may be of any size."""
    return [{name: str(cell) for name, cell in row.cells.items()} for row in read_rows(path)]


def classified(cli: Cli, folder: Path, content: str | bytes, *flags: str) -> list[dict[str, str]]:
    """The rows that come out of a file that can be used."""
    (folder / "in.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0.3", "--quiet", *flags)
    assert (done.code, done.err) == (0, "")
    return outcomes(folder / "out.csv")


@pytest.mark.parametrize(
    ("name", "content", "flags", "words"),
    [
        pytest.param("in.csv", b"", [], ["in.csv: the file is empty", "first line"], id="empty"),
        pytest.param("in.csv", b" \n\n", [], ["in.csv: the file is empty"], id="blank"),
        pytest.param("in.csv", b"id,subject\n1,a\n", [], ["in.csv: no column 'content'", "id, subject"], id="no content column"),
        pytest.param("in.csv", b"id,content\n1,caf\xe9\n", [], ["in.csv:2: ", "not UTF-8", "--encoding"], id="Latin-1"),
        pytest.param(
            "in.csv", b"id,content\n1,a\n", ["--encoding", "utf-88"], ["--encoding: ", "'utf-8'?"], id="unknown encoding"
        ),
        pytest.param(
            "in.csv",
            "id,content\n1,退款\n".encode(),
            ["--encoding", "ascii"],
            ["in.csv:2: ", "not ASCII"],
            id="encoding that does not fit",
        ),
        pytest.param("in.csv", b"\x89PNG\r\n\x1a\n\0\0", [], ["in.csv: ", "a PNG picture", "CSV or JSONL"], id="picture"),
        pytest.param(
            "in.csv", b"PK\x03\x04\x14\0", [], ["in.csv: ", "an Excel workbook", "export it as CSV"], id="xlsx called csv"
        ),
        pytest.param("in.xlsx", b"PK\x03\x04\x14\0", [], ["in.xlsx: ", "export it as CSV"], id="xlsx"),
        pytest.param("in.zip", b"PK\x03\x04\x14\0", [], ["in.zip: ", "unpack it"], id="zip"),
        pytest.param("in.txt", b"hello", [], ["in.txt: ", "'.txt'", ".csv, .tsv or .jsonl"], id="unknown suffix"),
        pytest.param("in", b"hello", [], ["in: ", "no suffix", ".csv, .tsv or .jsonl"], id="no suffix"),
        pytest.param("in.json", b"[]", [], ["in.json: ", "one JSON object a line"], id="JSON"),
        pytest.param("in.csv", b'id,content\n1,"a\n2,b\n', [], ["in.csv:2: a quote opens", "never closed"], id="unclosed quote"),
        pytest.param("in.csv", b"id,content\n1,a b,c\n", [], ["in.csv:2: 3 cells", "in quotes"], id="too many cells"),
        pytest.param(
            "in.jsonl", b'{"content": "a"}\n{"cont', [], ["in.jsonl:2: not JSON", "whole JSON object"], id="broken JSON line"
        ),
        pytest.param("in.jsonl", b'{"content": "a"}\n[1]\n', [], ["in.jsonl:2: a JSON array", "jq"], id="JSON array"),
    ],
)
def test_a_file_that_cannot_be_used(
    cli: Cli, tmp_path: Path, *, name: str, content: bytes, flags: list[str], words: list[str]
) -> None:
    """The line names the file, mostly its line, and the way out; the file stays as it is."""
    (tmp_path / name).write_bytes(content)
    line = problem(cli("classify", name, "-o", "out.csv", "--quiet", *flags))
    assert all(word in line for word in words), line
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("command", ["classify", "evaluate", "split"])
def test_a_missing_file(cli: Cli, command: str) -> None:
    """Whatever the command."""
    assert problem(cli(command, "nix.csv")) == "nix.csv: no such file; check the path"


def test_a_folder(cli: Cli, tmp_path: Path) -> None:
    """Is no file."""
    (tmp_path / "tickets.d.csv").mkdir()
    assert problem(cli("classify", "tickets.d.csv")) == "tickets.d.csv: this is a folder; name a file in it"


@pytest.mark.parametrize("flag", ["--title-column", "--content-column", "--text-column", "--id-column", "--category-column"])
def test_a_flag_that_names_no_column(cli: Cli, flag: str) -> None:
    """The nearest column, the flag, and all columns there are."""
    line = problem(cli("classify", "tickets.csv", "-o", "out.csv", "--quiet", flag, "chanel"))
    assert line.startswith("tickets.csv: no column 'chanel'; did you mean 'channel'?")
    assert line.endswith(f"name one with {flag}; the file has: id, title, content, channel")


def test_evaluate_needs_categories(cli: Cli) -> None:
    """A file without labels has nothing to compare with."""
    assert "tickets.csv: no column 'category'; name one with --category-column" in problem(cli("evaluate", "tickets.csv"))


def test_an_error_behind_decided_rows_keeps_them(cli: Cli, tmp_path: Path) -> None:
    """The line says how many there are; with the row mended --resume goes on behind them."""
    good, bad = "id,content\n" + "T,money back\n" * 400, "T,money, back\n"
    (tmp_path / "in.csv").write_text(good + bad, encoding="utf-8")
    command = ["classify", "in.csv", "-o", "out.csv", "--threshold", "0.3", "--quiet"]
    line = problem(cli(*command))
    assert len(outcomes(tmp_path / "out.csv")) == 400
    assert line.startswith("in.csv:402: 3 cells")
    assert line.endswith("; 400 tickets before it are decided; go on with --resume")
    (tmp_path / "in.csv").write_text(good + 'T,"money, back"\n', encoding="utf-8")
    assert cli(*command, "--resume").code == 0
    assert len(outcomes(tmp_path / "out.csv")) == 401


# -- odd, yet usable ---------------------------------------------------------------------------


def test_a_header_alone(cli: Cli, tmp_path: Path) -> None:
    """Is a file without tickets: no error, but a notice."""
    (tmp_path / "in.csv").write_text("id,content\n", encoding="utf-8")
    done = cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0.3")
    assert done.code == 0
    assert done.err.splitlines()[0] == "the file holds no tickets: the result is empty"
    assert outcomes(tmp_path / "out.csv") == []


def test_latin_1_and_gb18030(cli: Cli, tmp_path: Path) -> None:
    """The first with a flag, the second by itself."""
    [row] = classified(cli, tmp_path, "id,content\n1,café refund: money back\n".encode("latin-1"), "--encoding", "latin-1")
    assert row["content"] == "café refund: money back"
    [row] = classified(cli, tmp_path, "id,content\n1,退款什么时候到账\n".encode("gb18030"), "--overwrite")
    assert (row["content"], row["category"]) == ("退款什么时候到账", "refund")


def test_a_ticket_of_a_megabyte(cli: Cli, tmp_path: Path) -> None:
    """Waits for a person, whole; its neighbours do not mind."""
    huge = "money back " * 100_000
    before, row, after = classified(cli, tmp_path, f"id,content\n1,money back\n2,{huge}\n3,money back\n")
    assert (row["outcome"], row["reasons"], row["content"]) == ("pending", "too_long", huge)
    assert before["category"] == after["category"] == "refund"


@pytest.mark.parametrize("text", ["   ", '"\n\n"', "\u3000", "😀😀😀", "x", "退", "?!", "\u200b\ufeff"], ids=ascii)
def test_next_to_no_text(cli: Cli, tmp_path: Path, text: str) -> None:
    """White space, emoji, one character: pending, and nothing is asked."""
    [row] = classified(cli, tmp_path, f"id,content\n1,{text}\n")
    assert (row["outcome"], row["reasons"], row["suggestion"]) == ("pending", "too_short", "")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param('id,content\n1,"money\r\nback, please"\n', "money\r\nback, please", id="quoted newline and comma"),
        pytest.param("id,content\n1,mo\0ney back\n", "money back", id="NUL byte"),
        pytest.param(
            f"id,content,{','.join(f'c{i}' for i in range(10_000))}\n1,money back{',x' * 10_000}\n",
            "money back",
            id="10,000 columns",
        ),
    ],
)
def test_odd_files_work(cli: Cli, tmp_path: Path, content: str, text: str) -> None:
    """One row in, the same row out."""
    [row] = classified(cli, tmp_path, content)
    assert (row["content"], row["category"]) == (text, "refund")


REPEATED = "id,content\nA,money back\nB,the parcel never arrived\nA,where is my delivery\nB,password reset\nB,money back please\n"


def test_repeated_ids(cli: Cli, tmp_path: Path) -> None:
    """All rows come out, and one notice tells how many ids are not theirs alone."""
    (tmp_path / "in.csv").write_text(REPEATED, encoding="utf-8")
    done = cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0.3")
    assert [row["id"] for row in outcomes(tmp_path / "out.csv")] == list("ABABB")
    assert done.err.splitlines()[-1] == "note: 3 tickets have an id that an earlier one has (first: 'A', line 4)"


@pytest.mark.parametrize(
    ("rows", "notice"),
    [
        pytest.param("id,content\n1,a\n2,b\n3,c\n", "", id="numbers of rows"),
        pytest.param("content,x\na,1\nb,1\nc,1\n", "", id="no ids"),
        pytest.param(
            "id,content\n1,a\n2,b\n1,c\n", "1 ticket has an id that an earlier one has (first: '1', line 4)", id="a number again"
        ),
        pytest.param(
            "id,content\n1,a\n01,b\n1 ,c\n", "1 ticket has an id that an earlier one has (first: '1', line 4)", id="01 is not 1"
        ),
        pytest.param(
            "id,content\nx,a\n2,b\n2,c\n", "1 ticket has an id that an earlier one has (first: '2', line 4)", id="mixed"
        ),
        pytest.param(
            "id,content\n,a\n1,b\n", "1 ticket has an id that an earlier one has (first: '1', line 3)", id="a number as stand-in"
        ),
    ],
)
def test_which_ids_are_repeated(cli: Cli, tmp_path: Path, rows: str, notice: str) -> None:
    """Ids are compared as they are written out; --json counts them too."""
    (tmp_path / "in.csv").write_text(rows, encoding="utf-8")
    done = cli("classify", "in.csv", "-o", "out.csv", "--threshold", "0.3", "--json")
    assert done.err == (f"note: {notice}\n" if notice else "")
    assert f'"repeated_ids": {bool(notice):d}' in done.out
    assert cli("classify", "in.csv", "--threshold", "0.3", "--json", "--quiet").err == ""


def test_repeated_ids_when_resuming(cli: Cli, tmp_path: Path) -> None:
    """The count is that of an unbroken run."""
    (tmp_path / "in.csv").write_text(REPEATED, encoding="utf-8")
    command = ["classify", "in.csv", "-o", "out.csv", "--threshold", "0.3"]
    whole = cli(*command).err.splitlines()[-1]
    lines = (tmp_path / "out.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "out.csv").write_bytes(b"".join(lines[:4]))
    assert cli(*command, "--resume").err.splitlines()[-1] == whole


# -- taxonomies, flags, settings ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("categories:\n\t- id: a\n", ["t.yaml:2: ", "spaces, not tabs"], id="tab"),
        pytest.param(
            "categories:\n  - id: a\n    id: b\n", ["t.yaml:3: id: this key stands twice", "keep one"], id="duplicate key"
        ),
        pytest.param(
            "categories:\n  - id: a\n  - id: b\n  - id: a\n", ["t.yaml:4: ", "the id 'a' stands twice"], id="duplicate id"
        ),
        pytest.param(
            "categories: !!python/object/apply:os.getcwd []\n", ["t.yaml:1: ", "tags (!...) are not allowed"], id="Python tag"
        ),
        pytest.param(
            "categories:\n  - id: a\n    descripton: x\n",
            ["t.yaml:3: ", "descripton: unknown key", "did you mean 'description'?"],
            id="unknown key",
        ),
        pytest.param("", ["t.yaml: the file is empty", "llmtriage taxonomy show --yaml"], id="empty"),
        pytest.param("categories: []\n", ["t.yaml:1: categories: "], id="no category"),
        pytest.param("- a\n- b\n", ["t.yaml:1: a taxonomy is a mapping", "categories:"], id="list"),
        pytest.param("categories:\n  - id: 12\n", ["t.yaml:2: categories.0.id: ", "in quotes"], id="number as id"),
        pytest.param("a: b: c\n", ["t.yaml:1: ", "colons and quotes"], id="no YAML"),
        pytest.param(None, ["t.yaml: no such file", "check the path"], id="missing"),
    ],
)
def test_a_taxonomy_that_cannot_be_used(cli: Cli, tmp_path: Path, text: str | None, words: list[str]) -> None:
    """File, line, field and remedy; no output is begun."""
    if text is not None:
        (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    line = problem(cli("classify", "tickets.csv", "-o", "out.csv", "--taxonomy", "t.yaml"))
    assert all(word in line for word in words), line
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--backend", "lexcal"], ["backend: unknown backend 'lexcal'", "'lexical'?"], id="unknown backend"),
        pytest.param(["--backend", "openai:"], ["backend: openai: names no model", "openai:MODEL@URL"], id="no model"),
        pytest.param(["--backend", "openai"], ["backend: openai: names no model"], id="no model, no colon"),
        pytest.param(["--backend", "openai:m@ftp://x/"], ["backend: not an HTTP address", "http://HOST:PORT/v1"], id="ftp"),
        pytest.param(["--backend", "openai:m@http://"], ["backend: not an HTTP address"], id="no host"),
        pytest.param(["--backend", "openai:m@http://u:secret@h/"], ["a password does not belong in a URL"], id="password in URL"),
        pytest.param(["--shots", "-1"], ["'--shots'", "x>=0"], id="negative shots"),
        pytest.param(["--threshold", "2"], ["'--threshold'", "0<=x<=1"], id="threshold 2"),
        pytest.param(["--threshold", "nan"], ["'--threshold'", "not a valid number"], id="threshold nan"),
        pytest.param(["--threshold", "high"], ["'--threshold'", "not a valid number"], id="threshold in words"),
        pytest.param(["--timeout", "inf"], ["'--timeout'", "not a valid number"], id="endless timeout"),
        pytest.param(["--language", "fr"], ["'--language'", "'en', 'zh'"], id="unknown language"),
        pytest.param(["--without", "htlm"], ["unknown step of preparation 'htlm'", "'html'?"], id="unknown step"),
        pytest.param(["--prompts", "nix"], ["'--prompts'", "'nix' does not exist"], id="no folder of prompts"),
        pytest.param(["--thresold", "1"], ["'--thresold'", "'--threshold'", "see llmtriage classify --help"], id="unknown flag"),
        pytest.param(["second.csv"], ["unexpected extra argument", "see llmtriage classify --help"], id="second file"),
        pytest.param(["--examples", "nix.csv"], ["nix.csv: no such file"], id="missing examples"),
    ],
)
def test_flags_that_cannot_be_used(cli: Cli, tmp_path: Path, flags: list[str], words: list[str]) -> None:
    """The flag and what it takes; no output is begun."""
    line = problem(cli("classify", "tickets.csv", "-o", "out.csv", "--quiet", *flags))
    assert all(word in line for word in words), line
    assert "secret" not in line
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param('bakend = "lexical"', ["unknown key 'bakend'", "'backend'?"], id="unknown key"),
        pytest.param("threshold = \nseed = 1", ["not TOML", "line 1"], id="broken"),
        pytest.param(b"# caf\xe9", ["not UTF-8", "save the file as UTF-8"], id="not UTF-8"),
        pytest.param('threshold = "high"', ["threshold: 'high' is not a number", "write threshold = "], id="text for a number"),
        pytest.param("threshold = 2", ["threshold: ", "0<=x<=1"], id="out of range"),
        pytest.param("threshold = nan", ["threshold: ", "not a valid number"], id="nan"),
        pytest.param("seed = 1.5", ["seed: 1.5 is not a whole number"], id="fraction"),
        pytest.param("shots = true", ["shots: True is not a whole number"], id="truth for a number"),
        pytest.param("rationale = 1", ["rationale: 1 is not true or false"], id="number for truth"),
        pytest.param('backend = ["lexical"]', ["backend: ", "text in quotes"], id="list for text"),
        pytest.param('without = "html"', ["without: ", "a list of texts"], id="text for a list"),
        pytest.param('language = "fr"', ["language: ", "'en', 'zh'"], id="unknown choice"),
        pytest.param('timeout = "long"', ["timeout: "], id="engine key"),
        pytest.param("backends = 3", ["backends: "], id="backends a number"),
        pytest.param(
            '[backends.x]\nkind = "openai"\nmodel = "m"\ntempreature = 0', ["backends.x.tempreature: "], id="key of a backend"
        ),
        pytest.param(
            '[backends.x]\nkind = "opnai"\nmodel = "m"', ["backends.x.kind: ", "'openai'", "'decisions'"], id="kind of a backend"
        ),
    ],
)
def test_a_settings_file_that_cannot_be_used(cli: Cli, tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    """The file, the key and what it takes."""
    (tmp_path / "llmtriage.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    line = problem(cli("classify", "tickets.csv", "-o", "out.csv", "--quiet"))
    assert line.startswith("llmtriage.toml: ")
    assert all(word in line for word in words), line
    assert not (tmp_path / "out.csv").exists()


def test_a_missing_settings_file(cli: Cli) -> None:
    """Only the default one may be absent."""
    assert problem(cli("--settings", "nix.toml", "taxonomy", "show")).startswith("nix.toml: cannot be read (No such file")


def test_a_variable_that_cannot_be_used(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the variable, for on the command line nothing is wrong."""
    monkeypatch.setenv("LLMTRIAGE_THRESHOLD", "high")
    assert problem(cli("ask", "hello")).endswith("it comes from the environment variable LLMTRIAGE_THRESHOLD")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        pytest.param("parcl", "l.csv:3: unknown category 'parcl'; did you mean 'parcel'?", id="typing error"),
        pytest.param("Parcel", "l.csv:3: unknown category 'Parcel'; did you mean 'parcel'?", id="other case"),
        pytest.param(
            "sales", "l.csv:3: the category 'sales' has sub-categories; name one of them: refund, parcel", id="department"
        ),
        pytest.param("", "l.csv:3: no category in this row; label it or remove the row", id="none"),
    ],
)
@pytest.mark.parametrize(
    "command", [["evaluate", "l.csv"], ["ask", "hello", "--examples", "l.csv"]], ids=["evaluate", "examples"]
)
def test_a_label_that_the_taxonomy_does_not_know(cli: Cli, tmp_path: Path, command: list[str], label: str, words: str) -> None:
    """The line and the nearest category, in a file to judge by and in one to learn from."""
    (tmp_path / "l.csv").write_text(LABELLED.replace(",parcel\n", f",{label}\n"), encoding="utf-8")
    assert problem(cli(*command, "--quiet")) == words


def test_a_wrong_label_costs_nothing(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """However far behind it stands, it is found before the first ticket is sent."""
    (tmp_path / "l.csv").write_text(LABELLED + "3,money back,refund\n" * 500 + "4,money back,refnd\n", encoding="utf-8")
    server = serve(lambda _: (500, b""))
    assert problem(cli("evaluate", "l.csv", "--quiet", "--backend", server.backend)).startswith(
        "l.csv:504: unknown category 'refnd'"
    )
    assert server.requests == 0


def test_evaluate_of_nothing(cli: Cli, tmp_path: Path) -> None:
    """No figure is made up."""
    (tmp_path / "l.csv").write_text("id,content,category\n", encoding="utf-8")
    assert problem(cli("evaluate", "l.csv", "--quiet")) == "l.csv: the file holds no tickets; give a file with labelled rows"


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        pytest.param("accuracy=x", "--fail-under: not FIGURE=VALUE: 'accuracy=x'; write it like accuracy=0.9", id="no number"),
        pytest.param("accuracy=nan", "--fail-under: not FIGURE=VALUE: 'accuracy=nan'; write it like accuracy=0.9", id="nan"),
        pytest.param("accuracy", "--fail-under: not FIGURE=VALUE: 'accuracy'; write it like accuracy=0.9", id="no value"),
        pytest.param(
            "acuracy=0.9",
            "--fail-under: unknown figure 'acuracy'; did you mean 'accuracy'? the figures are: n, ",
            id="typing error",
        ),
        pytest.param(
            "accepted.eror=0.9",
            "--fail-under: unknown figure 'accepted.eror'; did you mean 'accepted.error'? the figures are: ",
            id="below",
        ),
        pytest.param("x=1", "--fail-under: unknown figure 'x'; the figures are: ", id="nothing like it"),
        pytest.param(
            "accepted.error=0.05",
            "--fail-under: accepted.error: lower is better here; use --fail-over accepted.error=0.05",
            id="risk",
        ),
        pytest.param("ece=0.1", "--fail-under: ece: lower is better here; use --fail-over ece=0.1", id="ece"),
        pytest.param(
            "pending.reasons.timeout=1",
            "--fail-under: pending.reasons.timeout: lower is better here; use --fail-over pending.reasons.timeout=1",
            id="a reason",
        ),
        pytest.param("accuracy=90", "--fail-under: accuracy lies between 0 and 1, not at 90; write 90 % as 0.9", id="per cent"),
    ],
)
def test_a_mistyped_limit(cli: Cli, tmp_path: Path, serve: Serve, limit: str, words: str) -> None:
    """Is found before anything is paid for."""
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    server = serve(lambda _: (500, b""))
    done = cli("evaluate", "l.csv", "--quiet", "--fail-under", limit, "--backend", server.backend)
    assert problem(done).startswith(words)
    assert (done.out, server.requests) == ("", 0)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("accuracy=0.9", "--fail-over: accuracy: higher is better here; use --fail-under accuracy=0.9"),
        ("accepted.error=5", "--fail-over: accepted.error lies between 0 and 1, not at 5; write 90 % as 0.9"),
        ("ece", "--fail-over: not FIGURE=VALUE: 'ece'; write it like accepted.error=0.05"),
    ],
    ids=["higher is better", "per cent", "no value"],
)
def test_a_mistaken_upper_limit(cli: Cli, tmp_path: Path, limit: str, words: str) -> None:
    """Is refused like a lower one."""
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    assert problem(cli("evaluate", "l.csv", "--quiet", "--fail-over", limit)) == words


def test_an_unknown_figure_lists_all_figures(cli: Cli, tmp_path: Path) -> None:
    """None is cut off, also those of a run where nothing is accepted."""
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    line = problem(cli("evaluate", "l.csv", "--quiet", "--fail-under", "x=1"))
    assert all(f", {name}" in line for name in ("accepted.error", "pending.reasons.timeout", "baselines.linear_svm", "seconds"))


@pytest.mark.parametrize("command", ["ask", "prompt"])
def test_a_text_without_quotes(cli: Cli, command: str) -> None:
    """A shell makes several arguments of it."""
    assert problem(cli(command, "退款", "还没到账")) == "one text is wanted, these are 2; put the text in quotes"


# -- outputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["-o", "nix/out.csv"], "nix/out.csv: its folder does not exist; create the folder", id="no folder"),
        pytest.param(["-o", "folder.csv"], "folder.csv: this is a folder; name a file in it", id="a folder"),
        pytest.param(
            ["-o", "taxonomy.yaml/out.csv"], "taxonomy.yaml/out.csv: cannot be written (Not a directory)", id="below a file"
        ),
        pytest.param(["-o", "full.csv"], "full.csv: cannot be written (No space left on device)", id="disk full"),
        pytest.param(
            ["-o", "out.csv", "--pending", "full.csv"], "full.csv: cannot be written (No space left", id="disk full, pending"
        ),
        pytest.param(["-o", "out.txt"], "out.txt: tables in '.txt' files are not known; name the file .csv", id="unknown suffix"),
        pytest.param(
            ["-o", "out.txt", "--pending", "wait.csv"], "out.txt: tables in '.txt' files are not known", id="with pending"
        ),
        pytest.param(["--resume"], "--resume: needs an output file; add -o OUT.csv", id="nothing to resume"),
        pytest.param(["--pending", "wait.csv"], "--pending: needs an output file; add -o OUT.csv", id="pending alone"),
    ],
)
def test_an_output_that_cannot_be_written(cli: Cli, tmp_path: Path, flags: list[str], words: str) -> None:
    """What and how to mend it; nothing is left behind that would be in the way of the next try."""
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "full.csv").symlink_to("/dev/full")
    before = sorted(tmp_path.iterdir())
    assert problem(cli("classify", "tickets.csv", "--quiet", *flags)).startswith(words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--resume"]], ids=["plain", "overwrite", "resume"])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["-o", "tickets.csv"], "tickets.csv: this is a file to read", id="input as output"),
        pytest.param(["-o", "./tickets.csv"], "tickets.csv: this is a file to read", id="by another name"),
        pytest.param(["-o", "link.csv"], "link.csv: this is a file to read", id="by a link"),
        pytest.param(["-o", "out.csv", "--pending", "tickets.csv"], "tickets.csv: this is a file to read", id="input as pending"),
        pytest.param(["-o", "l.csv", "--examples", "l.csv"], "l.csv: this is a file to read", id="examples as output"),
        pytest.param(
            ["-o", "out.csv", "--pending", "./out.csv"], "out.csv: two outputs cannot stand in one file", id="both outputs"
        ),
    ],
)
def test_no_file_is_read_and_written_at_once(cli: Cli, tmp_path: Path, flags: list[str], more: list[str], words: str) -> None:
    """Refused before anything is touched, --overwrite or not."""
    (tmp_path / "link.csv").symlink_to("tickets.csv")
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert problem(cli("classify", "tickets.csv", "--quiet", *flags, *more)).startswith(words)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "command",
    [
        ["split", "l.csv", "--parts", "l=0.5,m=0.5", "--overwrite"],
        ["taxonomy", "from-csv", "l.csv", "-o", "l.csv", "--overwrite"],
    ],
    ids=["split", "from-csv"],
)
def test_other_commands_keep_their_input_too(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    """A part of a split may not be the file itself, nor may the taxonomy made of it."""
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    assert "l.csv: this is a file to read" in problem(cli(*command))
    assert (tmp_path / "l.csv").read_text(encoding="utf-8") == LABELLED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("out.csv", "precious", id="one word"),
        pytest.param("out.csv", "a,b\n1,2", id="CSV without a last line end"),
        pytest.param("out.jsonl", '{"id": "1", "content": "precious"}', id="JSONL without a last line end"),
        pytest.param("out.jsonl", '{"id": "1"}\n{"id": "2"', id="torn JSONL"),
    ],
)
def test_resume_leaves_a_file_alone_that_no_run_wrote(cli: Cli, tmp_path: Path, name: str, text: str) -> None:
    """A last line without its end is cut off in what a run left, nowhere else."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert "its columns are not those of a run" in problem(cli("classify", "tickets.csv", "-o", name, "--resume", "--quiet"))
    assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_a_refused_resume_keeps_the_pending_file(cli: Cli, tmp_path: Path) -> None:
    """It is written anew only once the output is seen to fit."""
    command = ["classify", "tickets.csv", "-o", "out.csv", "--pending", "wait.csv", "--quiet"]
    assert cli(*command).code == 0
    before = (tmp_path / "wait.csv").read_bytes()
    assert "it was written by run" in problem(cli(*command, "--resume", "--threshold", "0.5"))
    assert (tmp_path / "wait.csv").read_bytes() == before


def test_resume_into_two_formats(cli: Cli, tmp_path: Path) -> None:
    """A list that a CSV holds as text would be text in JSONL, so it is refused."""
    command = ["classify", "tickets.csv", "-o", "out.csv", "--pending", "wait.jsonl", "--quiet"]
    assert cli(*command).code == 0
    before = (tmp_path / "wait.jsonl").read_bytes()
    assert problem(cli(*command, "--resume")).startswith(
        "wait.jsonl: to go on, both outputs must have one format; name it like out.csv"
    )
    assert (tmp_path / "wait.jsonl").read_bytes() == before


# -- servers -----------------------------------------------------------------------------------

FIVE = "id,content\n1,x\n2,money back\n3,the parcel never arrived\n4,password reset\n5,money back please\n"
ANSWER = b'{"choices": [{"message": {"content": "{\\"category\\": \\"refund\\", \\"confidence\\": 0.9}"}}]}'


def ask_server(cli: Cli, folder: Path, backend: str, *flags: str) -> tuple[Done, list[dict[str, str]]]:
    """Classify five tickets, of which the first is too short to be sent."""
    (folder / "in.csv").write_text(FIVE, encoding="utf-8")
    flags = ("--threshold", "0.5", "--attempts", "1", "--no-repair", "--quiet", *flags)
    done = cli("classify", "in.csv", "-o", "out.csv", "--backend", backend, *flags)
    return done, outcomes(folder / "out.csv")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(
            lambda _: (200, b'{"choices": [{"message": {"content": "I think it is a refund."}}]}'), "bad_response", id="prose"
        ),
        pytest.param(lambda _: (200, ANSWER.replace(b"refund", b"money")), "unknown_label", id="unknown label"),
        pytest.param(lambda _: (200, ANSWER.replace(b"refund", b"sales")), "unknown_label", id="department"),
        pytest.param(lambda _: (200, b"<html><body>It works!</body></html>"), "bad_response", id="HTML"),
        pytest.param(lambda _: (200, b""), "bad_response", id="nothing"),
        pytest.param(lambda _: (200, b"null"), "bad_response", id="null"),
        pytest.param(lambda _: (200, b"[1, 2]"), "bad_response", id="list"),
        pytest.param(lambda _: (500, b"oops"), "backend_unavailable", id="500"),
        pytest.param(lambda _: (429, b"{}"), "rate_limited", id="429"),
    ],
)
def test_answers_that_are_none(
    cli: Cli, tmp_path: Path, serve: Serve, reply: Callable[[int], tuple[int, bytes]], reason: str
) -> None:
    """Each ticket waits with a reason; none gets a label that nobody gave; the run goes on to its end."""
    server = serve(reply)
    done, rows = ask_server(cli, tmp_path, server.backend)
    assert (done.code, done.err, server.requests) == (0, "", 4)
    assert [row["id"] for row in rows] == list("12345")
    assert [row["reasons"] for row in rows] == ["too_short"] + [reason] * 4
    assert {(row["outcome"], row["category"], row["suggestion"], row["score"]) for row in rows} == {("pending", "", "", "")}


@pytest.mark.slow
def test_a_slow_server(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """Is waited for as long as asked for."""
    done, rows = ask_server(cli, tmp_path, serve(lambda _: (200, ANSWER), delay=5).backend, "--timeout", "0.2")
    assert done.code == 0
    assert [row["reasons"] for row in rows] == ["too_short"] + ["timeout"] * 4
    assert {row["suggestion"] for row in rows} == {""}


def test_a_server_that_is_down(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """One line names host and port; what is decided without it is kept."""
    server = serve(lambda _: (200, ANSWER))
    server.stop()
    done, rows = ask_server(cli, tmp_path, server.backend)
    line = problem(done, 4)
    assert f"no connection to {server.url}; check that the server runs" in line
    assert line.endswith("1 of 5 tickets are decided, 4 are not; go on with --resume")
    assert [row["reasons"] for row in rows] == ["too_short"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(401, b'{"error": {"message": "bad key"}}', "the server wants a key (401); set LLMTRIAGE_API_KEY", id="401"),
        pytest.param(
            404,
            b'{"error": {"code": "model_not_found"}}',
            "the server does not know this model; check its name",
            id="unknown model",
        ),
        pytest.param(404, b"<h1>Not Found</h1>", "nothing answers at", id="wrong path"),
        pytest.param(402, b"{}", "no credit or quota left (402); top it up", id="no money"),
    ],
)
def test_a_server_that_refuses_to_work(cli: Cli, tmp_path: Path, serve: Serve, *, status: int, body: bytes, words: str) -> None:
    """The run stops after a few requests, keeps what is decided, and goes on when the server is mended."""
    server = serve(lambda number: (200, ANSWER) if number <= 2 else (status, body))
    done, rows = ask_server(cli, tmp_path, server.backend, "--concurrency", "1")
    assert words in (line := problem(done, 5 if status == 402 else 4))
    assert line.endswith("3 of 5 tickets are decided, 2 are not; go on with --resume")
    assert [(row["id"], row["category"]) for row in rows] == [("1", ""), ("2", "refund"), ("3", "refund")]
    assert server.requests <= 4
    mended = serve(lambda _: (200, ANSWER))
    done, rows = ask_server(cli, tmp_path, mended.backend, "--resume")
    assert (done.code, [row["id"] for row in rows], mended.requests) == (0, list("12345"), 2)


def test_a_wrong_key_costs_few_requests(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """However many tickets there are."""
    server = serve(lambda _: (401, b"{}"))
    (tmp_path / "many.csv").write_text("id,content\n" + "a,money back\n" * 2000, encoding="utf-8")
    flags = ["--quiet", "--concurrency", "4", "--backend", server.backend]
    assert "0 of 2000 tickets are decided" in problem(cli("classify", "many.csv", "-o", "out.csv", *flags), 4)
    assert server.requests <= 8


def test_evaluate_with_a_server_that_is_down(cli: Cli, tmp_path: Path, serve: Serve) -> None:
    """No figure of half a file."""
    server = serve(lambda _: (200, ANSWER))
    server.stop()
    (tmp_path / "l.csv").write_text(LABELLED, encoding="utf-8")
    done = cli("evaluate", "l.csv", "--quiet", "--attempts", "1", "--backend", server.backend)
    assert server.address in problem(done, 4)
    assert done.out == ""
