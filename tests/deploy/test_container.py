"""The image and the containers. No Docker engine runs here: the files are checked, not built."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from deploy.deployed import DEPLOY, check_command, known_variables, loaded, program
from support import ROOT

from llmtriage.settings import load_settings

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = loaded("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
DIGEST = re.compile(r"[\w./-]+:[\w.-]*\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}")


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage: their name, and the rest in one line."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    chosen = lines[starts[stage] : [*starts, len(lines)][stage + 1] if stage >= 0 else None]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in chosen]


def of(name: str, stage: int = -1) -> list[str]:
    """What the instructions of one name say."""
    return [rest for found, rest in instructions(stage) if found == name]


def test_hadolint_finds_nothing() -> None:
    """Not even a remark."""
    done = subprocess.run([program("hadolint"), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_stand_on_one_image_of_one_digest() -> None:
    """So that it is the same tomorrow."""
    images = {of("FROM", stage)[0].split()[0] for stage in (0, 1)}
    assert len(images) == 1
    assert DIGEST.fullmatch(images.pop())
    assert DOCKERFILE.count("\nFROM ") == 2


def test_the_program_runs_as_a_user_that_is_not_root_and_by_itself() -> None:
    """No shell between: it gets the signal to stop."""
    assert of("USER") == ["10001:10001"]
    last = [name for name, _ in instructions(-1)]
    assert "RUN" not in last[last.index("USER") :]
    assert json.loads(of("ENTRYPOINT")[0]) == ["llmtriage"]
    words = json.loads(of("CMD")[0])
    assert words[0] == "serve"
    assert "0.0.0.0" in words  # noqa: S104
    check_command(words)


def test_the_last_stage_brings_no_tools_to_build_with() -> None:
    """Nothing is installed there, and pip is not in the environment that is copied."""
    assert not [rest for rest in of("RUN") if re.search(r"\b(pip|apt-get|gcc|curl|wget)\b", rest)]
    assert of("COPY") == ["--from=build /opt/llmtriage /opt/llmtriage"]
    assert "--without-pip" in of("RUN", 0)[0]


def test_nothing_secret_and_nothing_from_the_network_is_in_the_image() -> None:
    """What stands in ARG or ENV, everybody can read who has the image."""
    assert not re.search(r"^(ADD|ARG) ", DOCKERFILE, flags=re.MULTILINE)
    names = re.findall(r"(\w+)=", of("ENV")[0])
    assert not [name for name in names if re.search("KEY|PASSWORD|TOKEN|SECRET", name)]
    assert {name for name in names if name.startswith("LLMTRIAGE_")} <= known_variables()


def test_only_data_needs_to_be_written() -> None:
    """The store, the cache and the home folder lie there."""
    assert json.loads(of("VOLUME")[0]) == ["/data"]
    places = dict(part.split("=", 1) for part in shlex.split(of("ENV")[0]))
    assert all(places[name].startswith("/data/") for name in places if name.startswith("LLMTRIAGE_"))
    assert "--home-dir /data" in of("RUN")[0]


def test_what_is_copied_is_there_and_is_all_that_the_wheel_is_built_from() -> None:
    """And .dockerignore lets it through, and nothing else."""
    copied = [word for rest in of("COPY", 0) for word in rest.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        *wheel["packages"],
        *wheel["force-include"],
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
    }
    assert needed == set(copied)
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in let_through) for name in copied)
    assert let_through == set(copied)


def test_health_is_asked_on_a_route_of_the_app(tmp_path: Path) -> None:
    """On the port that the program listens on, by Python itself: the image has no curl."""
    from serving import started

    [check] = of("HEALTHCHECK")
    words = json.loads(check.partition("CMD ")[2])
    [(port, path)] = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)'", words[-1])
    compile(words[-1], "healthcheck", "exec")
    assert words[:2] == ["python", "-c"]
    assert of("EXPOSE") == [port] == ["8080"]
    with started(tmp_path) as served:
        assert served.client.get(path).status_code == 200


def test_the_compose_file_follows_its_schema() -> None:
    """The one that check-jsonschema brings along."""
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_image_names_its_version() -> None:
    """None is `latest`; our own is built here."""
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert tag != "latest"
        assert re.search(r"\d+\.\d+", tag) or (name == "llmtriage" and tag == "local")


def test_every_variable_is_one_that_llmtriage_reads() -> None:
    """In compose.yaml, in the unit, in the file of the profile, in the image."""
    files = ("compose.yaml", "vllm.env", "llmtriage.service", "Dockerfile", "first-start.sh")
    for name in files:
        text = (DEPLOY / name).read_text(encoding="utf-8")
        assert set(re.findall(r"\bLLMTRIAGE_[A-Z_]+\b", text)) <= known_variables(), name


def test_parts_that_are_named_exist() -> None:
    """Volumes, secrets, services that are waited for."""
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        named = [volume.split(":")[0] for volume in service["volumes"]]
        assert {name for name in named if not name.startswith(".")} <= COMPOSE["volumes"].keys()
        assert all((DEPLOY / name).is_dir() for name in named if name.startswith("."))
        assert "healthcheck" in service or service["image"] == "llmtriage:local"
    assert (DEPLOY / SERVICES["llmtriage"]["build"]["context"] / SERVICES["llmtriage"]["build"]["dockerfile"]).is_file()


def test_no_password_stands_in_the_compose_file() -> None:
    """They come from files that are not in the repository."""
    assert not re.search(r"(PASSWORD|KEY|TOKEN)\w*:\s*(?!/run/secrets/)\S", COMPOSE_TEXT)
    assert "://llmtriage@" in SERVICES["llmtriage"]["environment"]["LLMTRIAGE_STORE"]
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_service_can_write_nothing_but_its_volume() -> None:
    """Nor gain a right; and only this machine reaches its port."""
    service = SERVICES["llmtriage"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [volume for volume in service["volumes"] if not volume.endswith(":ro")] == ["cache:/data"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert not any("ports" in SERVICES[name] for name in ("postgres", "vllm"))


def test_no_container_gains_a_right_and_none_takes_all_there_is() -> None:
    """The model's server alone may write where it likes, and take the memory that its model takes."""
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        limits = service["deploy"]["resources"].get("limits", {})
        assert (name == "vllm") != (limits.keys() == {"memory", "pids"})
        assert service.get("read_only", False) == (name != "vllm")
    database = SERVICES["postgres"]
    assert database["cap_drop"] == ["ALL"]
    assert set(database["tmpfs"]) == {"/tmp", "/var/run/postgresql"}  # noqa: S108


def test_the_profile_with_a_model_points_the_service_at_it() -> None:
    """One file switches the server on and names it as the engine."""
    lines = (DEPLOY / "vllm.env").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert [said["COMPOSE_PROFILES"]] == SERVICES["vllm"]["profiles"]
    assert SERVICES["llmtriage"]["environment"]["LLMTRIAGE_BACKEND"] == "${LLMTRIAGE_BACKEND:-lexical}"
    [name] = [word.split("=")[1] for word in SERVICES["vllm"]["command"] if word.startswith("--served-model-name=")]
    assert said["LLMTRIAGE_BACKEND"] == f"vllm:{name}@http://vllm:8000/v1"


def test_the_settings_in_the_container_load() -> None:
    """As they are, and with what is commented out."""
    text = (DEPLOY / "config" / "llmtriage.toml").read_text(encoding="utf-8")
    engine_free = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
    assert {"language", "taxonomy", "calibration", "probe"} == engine_free.keys()
    load_settings({})


def _first_start(folder: Path, *, docker: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script in a copy, with a docker that only notes how it was called."""
    (folder / "bin").mkdir(exist_ok=True)
    fake = folder / "bin" / "docker"
    fake.write_text(f'#!/bin/sh\necho "$*" >>{folder}/calls\n{docker}\n', encoding="utf-8")
    fake.chmod(0o755)
    script = folder / "first-start.sh"
    script.write_text((DEPLOY / "first-start.sh").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "calls").unlink(missing_ok=True)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True, check=False, env=environment)
    return done, (folder / "calls").read_text(encoding="utf-8").splitlines()


def test_the_first_start_makes_secrets_and_one_key(tmp_path: Path) -> None:
    """That only their owner may read; the password is the same on both sides, and on no command line."""
    done, calls = _first_start(tmp_path)
    assert done.returncode == 0, done.stderr
    secrets = tmp_path / "secrets"
    password = (secrets / "postgres-password").read_text(encoding="utf-8")
    assert re.fullmatch("[0-9a-f]{64}", password)
    assert (secrets / "llmtriage.env").read_text(encoding="utf-8") == f"PGPASSWORD={password}\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o600}
    assert password not in done.stdout + done.stderr + "".join(calls)
    assert [call.split()[1] for call in calls] == ["build", "run", "up"]


def test_another_start_changes_nothing_that_is_there(tmp_path: Path) -> None:
    """Neither password nor key; and a start that failed goes on where it was."""
    failed, _ = _first_start(tmp_path, docker='case "$2" in run) exit 1;; esac')
    assert failed.returncode == 1
    password = (tmp_path / "secrets" / "postgres-password").read_text(encoding="utf-8")
    _, calls = _first_start(tmp_path)
    assert [call.split()[1] for call in calls] == ["build", "run", "up"]
    _, calls = _first_start(tmp_path)
    assert [call.split()[1] for call in calls] == ["build", "up"]
    assert (tmp_path / "secrets" / "postgres-password").read_text(encoding="utf-8") == password


def test_the_key_is_made_by_a_command_that_exists() -> None:
    """With flags that it has."""
    script = (DEPLOY / "first-start.sh").read_text(encoding="utf-8")
    [words] = re.findall(r"docker compose run --rm llmtriage (.+)", script)
    check_command(shlex.split(words))


@pytest.mark.parametrize("name", ["first-start.sh"])
def test_a_script_can_be_run(name: str) -> None:
    """As it is."""
    assert os.access(DEPLOY / name, os.X_OK)
