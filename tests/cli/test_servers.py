"""Ways to a server: URLs, proxies, certificates, what it does not take; and Ctrl-C while it is silent. Each is a real process."""

from __future__ import annotations

import signal
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from cli.misbehaving import Asked, Line, Misbehaving, Play, by_ticket, good, never_answers, refuses, says
from cli.real_runs import DECIDED, Start, Workplace, at_once, finishes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("by_json")]

FEW = ["one", "two", "three"]
MANY = [f"n{i}" for i in range(40)]
SETTINGS = '[backends.it]\nkind = "openai"\nmodel = "m"\nkey_env = "LLMTRIAGE_API_KEY"\n'


# -- URLs ------------------------------------------------------------------------------------------


def test_a_url_with_and_without_its_path(tmp_path: Path, playing: Start) -> None:
    """Asked at one path, however it is written."""

    def paths(ending: str) -> tuple[int, set[str]]:
        server = playing(good)
        folder = tmp_path / f"x{ending.replace('/', '_')}"
        run = Workplace.of(folder, FEW).run(f"openai:m@http://127.0.0.1:{server.port}{ending}")
        return run.code, {request.path for request in server.asked}

    endings = ["", "/", "/v1", "/v1/"]
    assert at_once(paths, endings) == [(0, {"/v1/chat/completions"})] * len(endings)


def test_a_url_without_a_scheme(tmp_path: Path, playing: Start) -> None:
    """Is refused before anything is sent, with how to write it."""
    server = playing(good)
    run = Workplace.of(tmp_path, FEW).run(f"openai:m@127.0.0.1:{server.port}/v1")
    assert (run.code, server.asked) == (2, [])
    assert f"has no scheme; write openai:MODEL@http://127.0.0.1:{server.port}/v1" in run.line


def test_the_whole_path_pasted(tmp_path: Path, playing: Start) -> None:
    """One request, and the line says what a URL should end in."""

    def only_there(line: Line, asked: Asked) -> None:
        (good if asked.path == "/v1/chat/completions" else says({"detail": "Not Found"}, 404))(line, asked)

    server = playing(only_there)
    run = Workplace.of(tmp_path, FEW).run(f"openai:m@{server.url}/chat/completions")
    assert (run.code, len(server.asked)) == (4, 1)
    assert "nothing answers at" in run.line
    assert "/v1" in run.line


# -- proxies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["setting", "environment"])
def test_a_proxy(tmp_path: Path, playing: Start, how: str) -> None:
    """A host that only the proxy knows is asked through it."""
    proxy = playing(good, proxy=True)
    url = f"http://127.0.0.1:{proxy.port}"
    settings = SETTINGS + 'url = "http://llm.test/v1"\n' + (f'proxy = "{url}"\n' if how == "setting" else "")
    run = Workplace.of(tmp_path, FEW, settings=settings).run("it", env={"HTTP_PROXY": url} if how == "environment" else {})
    assert (run.code, run.err, set(run.reasons.values())) == (0, "", {DECIDED})
    assert {request.path for request in proxy.asked} == {"http://llm.test/v1/chat/completions"}


def test_no_proxy_for_some(tmp_path: Path, playing: Start) -> None:
    """NO_PROXY is kept to."""
    proxy, server = playing(good, proxy=True), playing(good)
    env = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "127.0.0.1"}
    run = Workplace.of(tmp_path, FEW).run(server, env=env)
    assert (run.code, len(server.asked), proxy.asked) == (0, len(FEW), [])


def test_a_proxy_that_is_down(tmp_path: Path, playing: Start) -> None:
    """Exit code 4, and its password is not told."""
    proxy = playing(good, proxy=True)
    proxy.stop()
    settings = SETTINGS + f'url = "https://llm.test/v1"\nproxy = "http://user:pa55word@127.0.0.1:{proxy.port}"\n'
    run = Workplace.of(tmp_path, FEW, settings=settings).run("it")
    assert (run.code, run.rows) == (4, [])
    assert "no connection to https://llm.test/v1" in run.line
    assert "pa55word" not in run.err


def test_a_proxy_that_is_none(tmp_path: Path) -> None:
    """A setting that is no URL is refused."""
    run = Workplace.of(tmp_path, FEW, settings=SETTINGS + 'proxy = "127.0.0.1:3128"\n').run("it")
    assert run.code == 2
    assert run.line == "proxy: not the URL of a proxy; write http://HOST:PORT"


# -- certificates ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """The certificate of an authority of our own, and a server's that it signed."""
    folder = tmp_path_factory.mktemp("authority")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:llm.test\n", encoding="utf-8")
    (folder / "ca.cnf").write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=ca\nprompt=no\n[dn]\nCN=Our own\n"
        "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
        encoding="utf-8",
    )
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"req -x509 {key} -keyout ca.key -out ca.pem -days 2 -config ca.cnf",
        f"req {key} -keyout server.key -out server.csr -subj /CN=llm.test -config ca.cnf",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)  # noqa: S607
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context


def test_a_certificate_of_an_own_authority(tmp_path: Path, playing: Start, authority: tuple[Path, ssl.SSLContext]) -> None:
    """Is trusted once its file is named; else the run stops and says so, and no request gets through."""
    ca_file, context = authority
    server = playing(good, tls=context)
    settings = SETTINGS + f'url = "{server.url}"\n'
    run = Workplace.of(tmp_path / "without", FEW, settings=settings).run("it")
    assert (run.code, run.rows, server.asked) == (4, [], [])
    assert f"the certificate of {server.url} is not trusted; name your authority's certificates as ca_file" in run.line
    run = Workplace.of(tmp_path / "with", FEW, settings=f'{settings}ca_file = "{ca_file}"\n').run("it")
    assert (run.code, run.err, set(run.reasons.values())) == (0, "", {DECIDED})


def test_a_certificate_behind_a_proxy(tmp_path: Path, playing: Start, authority: tuple[Path, ssl.SSLContext]) -> None:
    """HTTPS_PROXY makes a tunnel, and what goes through it is encrypted from end to end."""
    ca_file, context = authority
    proxy = playing(good, tls=context, proxy=True)
    settings = SETTINGS + f'url = "https://llm.test/v1"\nca_file = "{ca_file}"\n'
    env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
    run = Workplace.of(tmp_path, FEW, settings=settings).run("it", env=env)
    assert (run.code, run.err, set(run.reasons.values())) == (0, "", {DECIDED})
    assert set(proxy.tunnels) == {"llm.test:443"}
    assert {request.path for request in proxy.asked} == {"/v1/chat/completions"}


def test_certificates_that_are_none(tmp_path: Path) -> None:
    """One line names the file."""
    (tmp_path / "no.pem").write_text("nothing\n", encoding="utf-8")
    settings = SETTINGS + 'url = "https://127.0.0.1:1/v1"\nca_file = "no.pem"\n'
    run = Workplace.of(tmp_path, FEW, settings=settings).run("it")
    assert run.code == 2
    assert run.line.startswith("no.pem: cannot be used as certificates")


# -- what a server does not take -------------------------------------------------------------------


def without(*refused: str, message: str = "unknown field") -> Play:
    """A server that takes no request with one of these fields."""

    def play(line: Line, asked: Asked) -> None:
        found = next((name for name in refused if name in asked.body), None)
        (refuses(400, param=found, message=message) if found else good)(line, asked)

    return play


def test_fields_we_can_do_without(tmp_path: Path, playing: Start) -> None:
    """Are found out with the first ticket alone, told once each, and left out from then on."""
    server = playing(without("response_format", "temperature"))
    run = Workplace.of(tmp_path, MANY).run(server)
    assert (run.code, set(run.reasons.values())) == (0, {DECIDED})
    assert len(server.asked) == len(MANY) + 3
    assert server.counts == {**dict.fromkeys(MANY, 1), "n0": 4}
    assert all("does not take" in line for line in run.err.splitlines())


def no_system_role(line: Line, asked: Asked) -> None:
    """What vLLM says with a chat template that knows no system role."""
    system = any(message["role"] == "system" for message in asked.body["messages"])
    (refuses(400, 400, message="System role not supported") if system else good)(line, asked)


def test_a_model_without_a_system_role(tmp_path: Path, playing: Start) -> None:
    """Gets its instructions with the ticket; the first request finds it out."""
    server = playing(no_system_role)
    run = Workplace.of(tmp_path, MANY).run(server)
    assert (run.code, set(run.reasons.values())) == (0, {DECIDED})
    assert len(server.asked) == len(MANY) + 1


# -- a server that dies ----------------------------------------------------------------------------


def dying(after: int, servers: list[Misbehaving]) -> Play:
    """Good answers to so many requests; with the next the server is gone."""

    def play(line: Line, asked: Asked) -> None:
        if asked.number <= after:
            good(line, asked)
        else:
            servers[0].stop()

    return play


@pytest.mark.parametrize("concurrency", ["64", "1"])
def test_a_server_that_dies_for_good(tmp_path: Path, playing: Start, concurrency: str) -> None:
    """Exit code 5; no ticket waits for a person because of it; --resume does the rest."""
    servers: list[Misbehaving] = []
    servers.append(playing(dying(20, servers)))
    place = Workplace.of(tmp_path, MANY)
    run = place.run(servers[0], "--concurrency", concurrency, breaker_failures=10, outage=1)
    assert run.code == 5
    assert f"{servers[0].url} has not worked for" in run.line
    assert set(run.reasons.values()) == {DECIDED}
    finishes(place, run, playing(good))


def test_a_server_that_dies_and_comes_back(tmp_path: Path, playing: Start) -> None:
    """The run waits and ends as if nothing had been."""
    servers: list[Misbehaving] = []
    servers.append(playing(dying(20, servers)))
    process = Workplace.of(tmp_path, MANY).start(f"openai:m@{servers[0].url}", breaker_failures=10)
    deadline = time.monotonic() + 30
    while len(servers[0].asked) <= 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(1)
    servers[0].play = good
    servers[0].listen()
    run = process.ended()
    assert (run.code, set(run.reasons.values())) == (0, {DECIDED})
    assert len(servers[0].asked) <= len(MANY) + 8


# -- the same request, and Ctrl-C ------------------------------------------------------------------


def test_the_same_ticket_twice_is_sent_once(tmp_path: Path, playing: Start) -> None:
    """Both rows come out."""
    names = ["one", "two", "one", "one"]
    server = playing(good)
    run = Workplace.of(tmp_path, names).run(server)
    assert [row["outcome"] for row in run.rows] == [DECIDED] * 4
    assert server.counts == {"one": 1, "two": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "stop"])
@pytest.mark.parametrize("fault", ["dead", "silent", "busy"])
def test_ctrl_c_while_the_server_keeps_us_waiting(tmp_path: Path, playing: Start, fault: str, number: signal.Signals) -> None:
    """Ends at once with 130 and an exact beginning, however long the run would have waited; --resume does the rest."""
    servers: list[Misbehaving] = []

    def answers(line: Line, asked: Asked) -> None:
        good(line, asked)
        answered.append(asked.ticket)

    def dies(line: Line, asked: Asked) -> None:
        until = time.monotonic() + 10
        while len(answered) < 10 and time.monotonic() < until:  # else those in flight would go down with the server
            time.sleep(0.01)
        servers[0].stop()

    answered: list[str] = []
    then = {"dead": dies, "silent": never_answers, "busy": refuses(429, Retry_After="500")}[fault]
    servers.append(playing(by_ticket(dict.fromkeys(MANY[:10], answers), then)))
    place = Workplace.of(tmp_path, MANY)
    process = place.start(f"openai:m@{servers[0].url}", "--timeout", "500", breaker_failures=3, outage=600, breaker_wait=60)
    deadline = time.monotonic() + 30
    while len(servers[0].asked) <= 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    began = time.monotonic()
    process.popen.send_signal(number)
    run = process.ended()
    assert time.monotonic() - began < 10
    assert run.code == 130
    assert run.line.startswith("stopped; ")
    assert run.reasons == dict.fromkeys(MANY[: len(run.rows)], DECIDED)
    assert 8 <= len(run.rows) <= 10
    finishes(place, run, playing(good))
