"""examples/docker: the files are valid, and the command of the image serves the connect page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import yaml

from tests.support.databases import fresh_postgres
from tests.support.example_apps import EXAMPLES, environment, free_port, run, running

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCKERFILE = EXAMPLES / "docker" / "Dockerfile"
SERVICE = yaml.safe_load((EXAMPLES / "docker" / "compose.yaml").read_text())["services"]["connect"]


def last_command(text: str) -> list[str]:
    """The arguments of CMD."""
    return json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile follows the rules of hadolint."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_each_copied_file_exists() -> None:
    """What COPY names is in the checkout, which is the build context."""
    context = (EXAMPLES / "docker" / SERVICE["build"]["context"]).resolve()
    assert context / SERVICE["build"]["dockerfile"] == DOCKERFILE
    names = [
        name
        for line in re.findall(r"^COPY (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert len(names) > 5
    assert [name for name in names if not (context / name).exists()] == []


def test_the_wheel_of_the_copied_files_can_be_built(tmp_path: Path) -> None:
    """The files that the first stage copies are enough to build the wheel."""
    first_stage = DOCKERFILE.read_text().split("\nFROM ")[1]
    for line in re.findall(r"^COPY (.*)$", first_stage, re.MULTILINE):
        *names, target = line.split()
        for name in names:
            source = EXAMPLES.parent / name
            if source.is_dir():
                shutil.copytree(source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tmp_path / target)
    code = "from hatchling.build import build_wheel; print(build_wheel('wheels'))"
    (tmp_path / "wheels").mkdir()
    assert run(["-c", code], tmp_path, os.environ).strip().endswith(".whl")


def values_of(database_url: str, public_url: str) -> Mapping[str, str]:
    """The environment of the service, with values of this test."""
    assert set(SERVICE["environment"]) == {"PUBLIC_URL", "DATABASE_URL", "NANGO_ENCRYPTION_KEYS"}
    return environment(PUBLIC_URL=public_url, DATABASE_URL=database_url)


def test_the_command_serves_the_page_and_is_healthy(tmp_path: Path) -> None:
    """The command of the image starts with the variables of compose.yaml, and the health check succeeds."""
    shutil.copy(EXAMPLES / "docker" / "integrations.yaml", tmp_path)
    command = last_command(DOCKERFILE.read_text())
    assert command[0] == "nango"
    port = free_port()
    arguments = [str(port) if each == "3003" else each for each in command[1:]]
    check = SERVICE["healthcheck"]["test"][-1].replace("3003", str(port))
    with fresh_postgres() as url:
        environ = values_of(url, "https://connect.example.com")
        with running(["-m", "nango_py", *arguments], tmp_path, environ, port=port):
            run(["-c", check], tmp_path, environ)
            page = requests.get(f"http://127.0.0.1:{port}/connect", timeout=30)
            assert page.status_code == 421, "the control: a check without the public name would fail"
            link = run(["-m", "nango_py", "connect-session", "user-1"], tmp_path, environ)
            assert link.startswith("https://connect.example.com/connect#session=")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".log"] == ["integrations.yaml"]
