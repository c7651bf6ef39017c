"""Files that change while a program is being written are read again, and a wrong one changes nothing."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from nango_py import ConfigError, Nango

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = "integrations:\n  acme: {extends_blueprint: acme:v1}\n"
BLUEPRINT = """\
name: acme
version: v1
title: Acme
docs_url: https://acme.example.com/docs
auth: {auth_mode: API_KEY}
requests:
  base_url: https://%s.example.com/
  headers: {Authorization: "Bearer ${api_key}"}
"""


def write(path: Path, text: str) -> None:
    """Write a file so that its time differs, however quick the test is."""
    path.write_text(text)
    write.count = getattr(write, "count", 0) + 1  # type: ignore[attr-defined]
    os.utime(path, ns=(write.count * 10**9, write.count * 10**9))  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A product with one blueprint."""
    (tmp_path / "blueprints").mkdir()
    write(tmp_path / "integrations.yaml", ENTRY)
    write(tmp_path / "blueprints" / "acme.v1.yaml", BLUEPRINT % "one")
    return tmp_path


def base_url(nango: Nango) -> str:
    """The base URL that calls would use now."""
    return nango.configuration.integrations["acme"].requests.base_url.source


def test_a_changed_blueprint_is_used_at_once(folder: Path) -> None:
    """With reload=True the next look sees what the editor saved."""
    with Nango(folder / "integrations.yaml", reload=True) as nango:
        assert base_url(nango) == "https://one.example.com/"
        write(folder / "blueprints" / "acme.v1.yaml", BLUEPRINT % "two")
        assert base_url(nango) == "https://two.example.com/"


def test_living_executors_follow(folder: Path) -> None:
    """An executor that was made before plans its next call by the new file."""
    with Nango(folder / "integrations.yaml", database_url="sqlite:///:memory:", reload=True) as nango:
        nango.register_connection("acme", "u1", {"api_key": "key_1234567"})
        acme = nango.executor("acme", "u1")
        assert acme.plan("GET", "x").url == "https://one.example.com/x"
        write(folder / "blueprints" / "acme.v1.yaml", BLUEPRINT % "two")
        assert acme.plan("GET", "x").url == "https://two.example.com/x"


def test_new_entries_and_new_blueprints_are_found(folder: Path) -> None:
    """integrations.yaml is looked at as well, and so are files that were not there."""
    with Nango(folder / "integrations.yaml", reload=True) as nango:
        other = (BLUEPRINT % "other").replace("acme", "beta")
        write(folder / "blueprints" / "beta.v1.yaml", other)
        write(folder / "integrations.yaml", ENTRY + "  beta: {extends_blueprint: beta:v1}\n")
        assert set(nango.configuration.integrations) == {"acme", "beta"}


def test_a_wrong_file_keeps_the_last_good_one_and_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a file, saved by an editor, changes nothing; the log names its problem once, until it changes."""
    whole = BLUEPRINT % "two"
    with Nango(folder / "integrations.yaml", reload=True) as nango, caplog.at_level(logging.ERROR):
        for end in range(0, len(whole) - 20, 25):
            write(folder / "blueprints" / "acme.v1.yaml", whole[:end] + "\n\tx: [")
            for _ in range(3):
                assert base_url(nango) == "https://one.example.com/"
        told = [record for record in caplog.records if "the last valid configuration" in record.getMessage()]
        assert len(told) == len(range(0, len(whole) - 20, 25))
        assert "acme.v1.yaml:" in told[-1].getMessage()
        write(folder / "blueprints" / "acme.v1.yaml", whole)
        assert base_url(nango) == "https://two.example.com/"


def test_without_reload_nothing_is_read_again(folder: Path) -> None:
    """The control: in production the files are read once."""
    with Nango(folder / "integrations.yaml") as nango:
        write(folder / "blueprints" / "acme.v1.yaml", BLUEPRINT % "two")
        assert base_url(nango) == "https://one.example.com/"


def test_a_wrong_file_at_the_start_is_an_error(folder: Path) -> None:
    """There is no last good one yet."""
    write(folder / "blueprints" / "acme.v1.yaml", "name: [")
    with pytest.raises(ConfigError):
        Nango(folder / "integrations.yaml", reload=True)
