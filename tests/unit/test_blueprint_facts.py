"""Sources, unconfirmed values and announced changes of blueprints."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from nango_py.config.catalogue import Catalogue
from nango_py.config.files import ConfigFiles
from nango_py.config.lifecycle import warning_days
from nango_py.config.loading import load_configuration
from nango_py.config.schema.facts import format_key_path, parse_key_path
from nango_py.errors import ConfigError, Position
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

AT = Position("test")
BASE = """\
name: base
version: v0
auth: {auth_mode: API_KEY}
requests: {base_url: https://base.test/, headers: {Authorization: "Bearer ${api_key}", X.Y: a}}
rate_limits: {budgets: [{key: all, otherwise: [10/second]}]}
sources: [{covers: [auth, "rate_limits.budgets[0].otherwise"], url: https://base.test/a, read_on: 2026-01-02}]
unconfirmed: ['requests.headers."X.Y"']
changes:
  - {on: 2027-06-30, what: Keys expire., affects: auth, url: https://base.test/keys, then: Replace them.}
"""
TOP = """\
name: top
version: v0
extends: base:v0
sources: [{covers: requests.headers.Authorization, url: https://top.test/, read_on: 2026-01-03}]
changes: [{on: 2027-01-31, what: Lists shrink., url: https://top.test/news}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a blueprint and one that extends it."""
    (tmp_path / "base.v0.yaml").write_text(BASE)
    (tmp_path / "top.v0.yaml").write_text(TOP)
    return tmp_path


def clock_on(day: str) -> ManualClock:
    """A clock at noon of a day."""
    return ManualClock(datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("auth", ("auth",)),
        ("auth.pkce", ("auth", "pkce")),
        ("rate_limits.budgets[0].cases[12].match", ("rate_limits", "budgets", 0, "cases", 12, "match")),
        ('requests.headers."X.Y"', ("requests", "headers", "X.Y")),
        ('a."b\\"c".d-e', ("a", 'b"c', "d-e")),
    ],
)
def test_a_path_names_a_key(text: str, path: tuple[str | int, ...]) -> None:
    """Dots separate keys, brackets hold the index of a list, and quotes hold other keys."""
    assert parse_key_path(text) == path
    assert format_key_path(path) == text


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "[0]", "a[b]", "a[01]", "a[-1]", 'a."b', "a[0"])
def test_other_texts_are_not_paths(text: str) -> None:
    """They have an empty step, a wrong index or an open quote."""
    assert parse_key_path(text) is None


def test_facts_describe_their_own_file(folder: Path) -> None:
    """Blueprints do not inherit facts, integrations have none, and paths may name inherited keys."""
    catalogue = Catalogue([("local", folder)])
    top = catalogue.find("top:v0", AT)
    assert [source["url"] for source in top.settings["sources"]] == ["https://top.test/"]
    assert "unconfirmed" not in top.settings
    entry = {"extends_blueprint": "base:v0", "rate_limits": None}
    (integration,) = load_configuration({"it": entry}, catalogue=catalogue, clock=clock_on("2026-01-01"))
    assert not {"sources", "unconfirmed", "changes"} & integration.settings.keys()


def test_changes_of_extended_blueprints_count(folder: Path) -> None:
    """The changes of a blueprint and of those that it extends are sorted by day."""
    top = Catalogue([("local", folder)]).find("top:v0", AT)
    assert [(change.on, change.affects) for change in top.changes] == [
        ("2027-01-31", ()),
        ("2027-06-30", ("auth",)),
    ]
    assert str(top.changes[1].position).endswith("base.v0.yaml:9:5")


@pytest.mark.parametrize(
    ("today", "days"),
    [
        ("2026-11-01", []),
        ("2026-11-02", ["2027-01-31"]),
        ("2027-04-01", ["2027-01-31", "2027-06-30"]),
        ("2028-01-01", ["2027-01-31", "2027-06-30"]),
    ],
)
def test_a_warning_begins_90_days_before_a_change(folder: Path, today: str, days: list[str]) -> None:
    """An integration that extends the blueprint gets W505 with the day, the advice and the page."""
    loaded = load_configuration(
        {"it": {"extends_blueprint": "top:v0"}},
        catalogue=Catalogue([("local", folder)]),
        clock=clock_on(today),
    )
    assert [warning.code for warning in loaded.warnings] == ["W505"] * len(days)
    assert [day for day in ("2027-01-31", "2027-06-30") if day in str(loaded.warnings)] == days
    assert ("Replace them. See https://base.test/keys" in str(loaded.warnings)) == (len(days) == 2)


def test_the_cache_knows_the_days_on_which_warnings_begin(folder: Path) -> None:
    """A cached configuration is valid until a warning begins."""
    top = Catalogue([("local", folder)]).find("top:v0", AT)
    assert list(warning_days(top)) == ["2026-11-02", "2027-04-01"]


def test_a_change_is_logged_once_per_process(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two configurations of one process log the warning of a near change once."""
    (folder / "near.v0.yaml").write_text(
        TOP.replace("name: top", "name: near").replace("2027-01-31", "2020-01-31")
    )
    with caplog.at_level(logging.WARNING, "nango_py.config"):
        for name in ("one", "two"):
            ConfigFiles({name: {"extends_blueprint": "near:v0"}}, folder, None, {}, reload=False)
    assert [record.getMessage().count("W505") for record in caplog.records] == [1]


def test_paths_of_a_file_with_several_versions_are_checked(folder: Path) -> None:
    """Each version of a file in the form of the first Nango has its own facts."""
    (folder / "many.yaml").write_text(
        "name: many\nversions:\n  v0:\n    auth: {auth_mode: NONE}\n"
        "    requests: {base_url: https://many.test/}\n    unconfirmed: [requests.base_ur]\n"
    )
    with pytest.raises(ConfigError) as caught:
        Catalogue([("local", folder)]).find("many:v0", AT)
    (problem,) = caught.value.problems
    assert (problem.code, problem.position.line, problem.position.column) == ("E325", 6, 19)


LOGINS = """\
name: desk
version: v0
requests: {base_url: https://desk.test/, headers: {Authorization: "Bearer ${api_key}"}}
logins:
  own: {auth: {auth_mode: API_KEY}, credentials: {api_key: {title: Key}}}
  other: {auth: {auth_mode: API_KEY}}
sources: [{covers: PATH, url: https://desk.test/a, read_on: 2026-01-02}]
"""


@pytest.mark.parametrize("path", ["logins.own.credentials", "logins.other.auth.auth_mode", "requests"])
def test_a_path_may_name_a_key_of_one_login(tmp_path: Path, path: str) -> None:
    """Paths are those of the file, whose logins stand below `logins`; each login can be used."""
    (tmp_path / "desk.v0.yaml").write_text(LOGINS.replace("PATH", path))
    catalogue = Catalogue([("local", tmp_path)])
    assert [catalogue.find("desk:v0", AT, login=name).login for name in ("own", "other")] == ["own", "other"]


@pytest.mark.parametrize("path", ["logins.own.credentials.token", "logins.third", "credentials"])
def test_a_path_of_no_login_is_an_error(tmp_path: Path, path: str) -> None:
    """A key that only a login has is named with the login."""
    (tmp_path / "desk.v0.yaml").write_text(LOGINS.replace("PATH", path))
    with pytest.raises(ConfigError) as caught:
        Catalogue([("local", tmp_path)]).find("desk:v0", AT)
    assert [(problem.code, problem.position.line) for problem in caught.value.problems] == [("E325", 7)]
