"""What a list shows of blueprints is what their whole files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from nango_py.config.catalogue import BlueprintRef, Catalogue
from nango_py.config.summaries import summarize
from nango_py.errors import ConfigError, Position

ROOT = Path(__file__).parents[2]
PLAIN = """\
name: acme
version: v1
title: Acme
auth: {auth_mode: API_KEY}
requests:
  base_url: https://api.acme.test/
  headers: {Authorization: "Bearer ${api_key}"}
"""


def summary_of(folder: Path, text: str, name: str = "acme") -> tuple[object, ...]:
    """What a list shows of `acme:v1`."""
    (folder / f"{name}.v1.yaml").write_text(text)
    catalogue = Catalogue([("local", folder)])
    found = summarize(catalogue, catalogue.locate(f"{name}:v1", Position("x")))
    return found.title, found.auth_mode, found.base_url, found.status.retires_on


def test_every_shipped_blueprint_is_shown_as_it_is() -> None:
    """Titles, logins, base URLs and states are those of the merged files."""
    catalogue = Catalogue([("local", ROOT / "blueprints")])
    refs = catalogue.refs()
    for ref in refs:
        whole = catalogue.find(f"{ref.name}:{ref.version}", Position("x"))
        found = summarize(catalogue, ref)
        assert (found.ref, found.title, found.status) == (whole.ref, whole.title, whole.status)
        assert found.auth_mode == whole.settings["auth"]["auth_mode"]
        assert found.base_url == whole.settings["requests"]["base_url"]
    assert len(refs) > 20


LOGINS = """\
logins:
  oauth:
    auth: {auth_mode: OAUTH2, authorization_url: https://acme.test/a, token_url: https://acme.test/t}
  key: {requests: {base_url: https://key.acme.test/}}
"""


@pytest.mark.parametrize(
    ("base", "own", "expected"),
    [
        ("", "", ("API_KEY", "https://api.acme.test/")),
        (LOGINS, "", ("OAUTH2", "https://api.acme.test/")),
        (LOGINS, "auth: {auth_mode: BASIC}\n", ("OAUTH2", "https://api.acme.test/")),
        ("", LOGINS, ("OAUTH2", "https://api.acme.test/")),
        (LOGINS, "logins: {oauth: {requests: {base_url: https://b.test/}}}\n", ("OAUTH2", "https://b.test/")),
        (LOGINS, "logins: {oauth: null}\n", ("API_KEY", "https://key.acme.test/")),
        (LOGINS, "logins: null\n", ("API_KEY", "https://api.acme.test/")),
        ("", f"title: null\nrequests: {{bases: null}}\n{LOGINS}", ("OAUTH2", "https://api.acme.test/")),
        (LOGINS, "logins: {oauth: {requests: {bases: null}}}\n", ("OAUTH2", "https://api.acme.test/")),
    ],
)
def test_logins_of_a_file_that_extends_are_those_of_the_whole(
    tmp_path: Path, base: str, own: str, expected: tuple[str, str]
) -> None:
    """Logins are merged with inherited ones, and the first is shown; nulls remove what is inherited."""
    (tmp_path / "base.v1.yaml").write_text(PLAIN.replace("acme", "base", 1) + base)
    text = f"name: acme\nversion: v1\nextends: base:v1\n{own}"
    assert summary_of(tmp_path, text)[1:3] == expected
    whole = Catalogue([("local", tmp_path)]).find("acme:v1", Position("x")).settings
    assert (whole["auth"]["auth_mode"], whole["requests"]["base_url"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"# a comment\n\n{PLAIN}gotchas:\n  - >-\n    auth: none\n  - |\n    title: Other\n",
        PLAIN.replace("title: Acme", "comment: >-\n  version: v9\ntitle: Acme\ntitles: no"),
        PLAIN.replace("auth: {auth_mode: API_KEY}", "auth: {\nauth_mode: API_KEY\n}"),
        PLAIN.replace("auth:", '"auth":'),
        PLAIN.replace("auth:", "x-note: &a 1\nauth:"),
        PLAIN.replace("requests:", "requests:\n  # base_url: https://other.test/\n\n  bases:\n    a: {b: 1}"),
        PLAIN.replace(
            "auth: {auth_mode: API_KEY}", "auth:\n  x-a: |\n    auth_mode: NONE\n  auth_mode: API_KEY"
        ),
        PLAIN.replace("auth: {auth_mode: API_KEY}", 'auth:\n  "auth_mode": API_KEY'),
        PLAIN.replace("auth: {auth_mode: API_KEY}", "auth:\n    auth_mode: API_KEY"),
        PLAIN.replace("\n", "\r\n"),
    ],
)
def test_files_in_any_style_are_read_right(tmp_path: Path, text: str) -> None:
    """What cannot be cut out of a text safely is read as a whole."""
    assert summary_of(tmp_path, text) == ("Acme", "API_KEY", "https://api.acme.test/", None)


def test_what_is_inherited_is_shown(tmp_path: Path) -> None:
    """Title, login and base URL of the extended blueprint; its status is its own."""
    (tmp_path / "acme.v1.yaml").write_text(f"{PLAIN}status: {{retires_on: 2030-01-01}}\n")
    child = "name: child\nversion: v1\nextends: acme:v1\n"
    assert summary_of(tmp_path, child, "child") == ("Acme", "API_KEY", "https://api.acme.test/", None)
    own = f"{child}title: Child\nrequests: {{base_url: https://other.test/}}\n"
    assert summary_of(tmp_path, own, "child") == ("Child", "API_KEY", "https://other.test/", None)


def test_the_first_login_is_shown(tmp_path: Path) -> None:
    """Its mode and base URL override those of the file, also if the file extends another."""
    logins = (
        "logins:\n  user:\n    auth: {auth_mode: BASIC}\n    requests: {base_url: https://eu.acme.test/}\n"
        "  key:\n    auth: {auth_mode: API_KEY}\n"
    )
    text = PLAIN.replace("auth: {auth_mode: API_KEY}\n", "").replace("Bearer ${api_key}", "Basic") + logins
    assert summary_of(tmp_path, text) == ("Acme", "BASIC", "https://eu.acme.test/", None)
    child = f"name: child\nversion: v1\nextends: acme:v1\n{logins.replace('eu', 'us')}"
    assert summary_of(tmp_path, child, "child")[1:3] == ("BASIC", "https://us.acme.test/")


@pytest.mark.parametrize(
    "wrong",
    [
        "auth: 5",
        "auth: {auth_mode: [1]}",
        "requests: [1]",
        "title: [1]",
        "status: 4",
        "extends: 4",
        "logins: 4",
        "logins: {user: 4}",
        "logins: {user: {auth: 3}}",
        "logins: {user: {requests: {base_url: 3}}}",
    ],
)
def test_a_wrong_type_is_an_error_with_its_place(tmp_path: Path, wrong: str) -> None:
    """What is shown of a wrong file is what is wrong with it."""
    key = wrong.partition(":")[0]
    kept = [line for line in PLAIN.replace("\n  ", "\0").splitlines() if not line.startswith(f"{key}:")]
    text = "\n".join([*kept, wrong, ""]).replace("\0", "\n  ")
    with pytest.raises(ConfigError, match=r"acme\.v1\.yaml:\d+:\d+: error"):
        summary_of(tmp_path, text)


def test_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    """A file with another name inside is read as a whole, and refused."""
    (tmp_path / "acme.v1.yaml").write_text(PLAIN.replace("name: acme", "name: other"))
    catalogue = Catalogue([("local", tmp_path)])
    with pytest.raises(ConfigError, match="E109"):
        summarize(catalogue, BlueprintRef("acme", "v1", "local", tmp_path / "acme.v1.yaml"))
