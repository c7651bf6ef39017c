"""integrations.yaml to a Configuration: environment, merging, templates, defaults, places of problems."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.catalogue import open_catalogue
from nango_py.config.loading import load_configuration
from nango_py.config.template_checks import check_blueprint_templates
from nango_py.config.urls.base_url import render_url
from nango_py.errors import ConfigError, Position

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nango_py.config.model import Configuration

ACME = """\
name: acme
version: v1
title: Acme
auth: {auth_mode: API_KEY}
requests:
  base_url: https://api.acme.test/v1/
  headers:
    Accept: application/json
    Authorization: Bearer ${api_key}
  params: {locale: en}
rate_limits:
  counted_per: connection
  budgets:
    - key: ${method} ${endpoint}
      otherwise: [10/second]
"""
OAUTH = """\
name: oauth
version: v0
title: OAuth
auth:
  auth_mode: OAUTH2
  authorization_url: https://login.acme.test/authorize?audience=api
  token_url: https://login.acme.test/token
requests:
  base_url: https://api.acme.test/
  headers: {Authorization: "Bearer ${access_token}"}
"""


class FixedClock:
    """A clock that stands still."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """Unix seconds."""
        return self._now

    def monotonic(self) -> float:
        """Unix seconds too."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Not needed here."""


def load(
    folder: Path,
    text: str | Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    blueprints: Mapping[str, str] | None = None,
    **options: Any,
) -> Configuration:
    """The configuration of a text, or of a mapping, beside two blueprints."""
    catalogue_folder = folder / "blueprints"
    catalogue_folder.mkdir(exist_ok=True)
    files = {"acme.v1.yaml": ACME, "oauth.v0.yaml": OAUTH, **(blueprints or {})}
    for name, content in files.items():
        (catalogue_folder / name).write_text(content)
    source: Any = text
    if isinstance(text, str):
        source = folder / "integrations.yaml"
        source.write_text(text)
        source.chmod(0o600)
    catalogue = open_catalogue(catalogue_folder)
    return load_configuration(
        source, catalogue=catalogue, environ=environ or {}, clock=FixedClock(), **options
    )


def problems(folder: Path, text: str | Mapping[str, Any], *args: Any, **options: Any) -> list[str]:
    """The problems of a text as lines, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *args, **options)
    assert caught.value.__context__ is None
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


ONE = "integrations:\n  acme:\n    extends_blueprint: acme:v1\n"


def test_entry_without_overrides(tmp_path: Path) -> None:
    """An entry that only names a blueprint has all its settings, defaults included."""
    acme = load(tmp_path, ONE).integrations["acme"]
    assert (acme.name, acme.blueprint, acme.title, acme.auth_mode) == ("acme", "acme:v1", "Acme", "API_KEY")
    requests = acme.requests
    assert requests.base_url.render({}) == "https://api.acme.test/v1/"
    assert [(name, value.source) for name, value in requests.headers] == [
        ("Accept", "application/json"),
        ("Authorization", "Bearer ${api_key}"),
    ]
    assert [(name, value.source) for name, value in requests.params] == [("locale", "en")]
    assert (requests.connect_seconds, requests.read_seconds, requests.total_seconds) == (5, 30, 100)
    assert (requests.max_response_bytes, requests.allow_http, requests.allowed_hosts) == (
        52_428_800,
        False,
        (),
    )
    assert "api_key" in acme.names
    assert acme.secret_names == {"api_key", "app_api_key", "raw"}


def test_yaml_and_python_give_the_same(tmp_path: Path) -> None:
    """A file, the same mapping, and its integrations alone are one configuration."""
    entry = {"acme": {"extends_blueprint": "acme:v1", "log_level": "debug"}}
    from_yaml = load(tmp_path, ONE + "    log_level: debug\n")
    for source in ({"integrations": entry}, entry, {"integrations": entry, "config": {}, "x-mine": 1}):
        from_python = load(tmp_path, source)
        assert from_python.integrations["acme"].settings == from_yaml.integrations["acme"].settings
        assert from_python.config == from_yaml.config


def test_an_integration_without_a_log_level_has_the_default_one(tmp_path: Path) -> None:
    """Without a default, the level of the program's logging stays."""
    entries = {
        "own": {"extends_blueprint": "acme:v1", "log_level": "debug"},
        "acme": {"extends_blueprint": "acme:v1"},
    }
    for config, level in (({}, None), ({"default_action_log_level": "error"}, "error")):
        found = load(tmp_path, {"integrations": entries, "config": config}).integrations
        assert (found["own"].log_level, found["acme"].log_level) == ("debug", level)


def test_same_problems_from_yaml_and_python(tmp_path: Path) -> None:
    """Python settings are checked like a file, and their places are key paths."""
    entry = {"acme": {"extends_blueprint": "acme:v1", "requests": {"headers": {"X": "${acces_token}"}}}}
    lines = problems(tmp_path, entry)
    assert len(lines) == 1
    assert lines[0].startswith('Nango(integrations=...)["acme"]["requests"]["headers"]["X"]: error[E306]')


def test_merge_and_origins(tmp_path: Path) -> None:
    """The entry wins, null removes, the rest stays, and each key knows where it was written."""
    text = ONE + (
        "    requests:\n"
        "      base_url: https://eu.acme.test/\n"
        "      headers: {accept: text/plain, AUTHORIZATION: 'Token ${api_key}'}\n"
        "      params: {locale: null, currency: EUR}\n"
    )
    acme = load(tmp_path, text).integrations["acme"]
    assert acme.requests.base_url.render({}) == "https://eu.acme.test/"
    assert [(name, value.source) for name, value in acme.requests.headers] == [
        ("accept", "text/plain"),
        ("AUTHORIZATION", "Token ${api_key}"),
    ]
    assert [name for name, _ in acme.requests.params] == ["currency"]
    written_at = [
        acme.origins.position(path)
        for path in (
            ("requests", "base_url"), ("rate_limits", "counted_per"), ("requests", "headers", "nothing"),
        )
    ]  # fmt: skip
    assert [(place.file.rpartition("/")[2], place.line) for place in written_at] == [
        ("integrations.yaml", 5), ("acme.v1.yaml", 12), ("integrations.yaml", 6),
    ]  # fmt: skip


def test_header_is_removed_whatever_its_case(tmp_path: Path) -> None:
    """A null removes the blueprint's header even if it is spelt in another case."""
    acme = load(tmp_path, ONE + "    requests: {headers: {ACCEPT: null}}\n").integrations["acme"]
    assert [name for name, _ in acme.requests.headers] == ["Authorization"]


def test_overrides_are_laid_on_top(tmp_path: Path) -> None:
    """Overrides given from Python win over the file and are checked like it."""
    over = {"acme": {"requests": {"base_url": "http://127.0.0.1:9/v1/", "headers": {"accept": "a/b"}}}}
    acme = load(tmp_path, ONE, overrides=over).integrations["acme"]
    assert acme.requests.base_url.render({}) == "http://127.0.0.1:9/v1/"
    assert dict(acme.requests.headers)["accept"].source == "a/b"
    place = acme.origins.position(("requests", "base_url"))
    assert str(place) == 'Nango(overrides=...)["acme"]["requests"]["base_url"]'
    lines = problems(tmp_path, ONE, overrides={"acne": {}, "acme": {"requests": {"base_url": "acme.test"}}})
    assert [line.split(": error")[0] for line in lines] == [
        'Nango(overrides=...)["acme"]["requests"]["base_url"]',
        'Nango(overrides=...)["acne"]',
    ]
    assert 'did you mean "acme"?' in lines[1]


def test_environment_at_any_depth(tmp_path: Path) -> None:
    """Environment names are read once at load, wherever they stand, and what they hold is only text."""
    text = (
        "integrations:\n"
        "  oauth:\n"
        "    extends_blueprint: oauth:v0\n"
        "    oauth_client_id: id-${STAGE}\n"
        "    oauth_client_secret: ${SECRET}\n"
        "    oauth_scopes: ['${SCOPE}', b]\n"
        "    requests:\n"
        "      headers:\n"
        "        X-Stage: ${STAGE | upper}\n"
        "        X-Both: ${STAGE}-${user_id}\n"
        '        X-Default: ${MISSING | default("none")}\n'
        "config: {database_url: '${DATABASE}'}\n"
    )
    environ = {
        "STAGE": "live",
        "SECRET": "s ${api_key} ${STAGE}",
        "SCOPE": "a",
        "DATABASE": "postgresql://u:p@h/d",
    }
    configuration = load(tmp_path, text, environ)
    oauth = configuration.integrations["oauth"]
    assert oauth.app_variables["oauth_client_secret"].reveal() == "s ${api_key} ${STAGE}"
    assert oauth.app_variables["oauth_client_id"].reveal() == "id-live"
    assert oauth.oauth_scopes == ("a", "b")
    headers = dict(oauth.requests.headers)
    assert headers["X-Stage"].render({}) == "LIVE"
    assert headers["X-Both"].render({"user_id": "u"}) == "live-u"
    assert headers["X-Both"].mask({"user_id": "u"}, ()) == "***-u"
    assert headers["X-Default"].render({}) == "none"
    assert configuration.config.database_url == "postgresql://u:p@h/d"
    shown = repr(configuration) + str(configuration.config) + repr(oauth.settings)
    assert "s ${api_key}" not in shown
    assert "u:p@h" not in shown


def test_literal_secret_does_not_print(tmp_path: Path) -> None:
    """An app secret that the file spells out is as hidden as one from the environment."""
    text = ONE + "    app_api_key: plain-sekret\n"
    acme = load(tmp_path, text).integrations["acme"]
    assert acme.app_variables["app_api_key"].reveal() == "plain-sekret"
    assert "plain-sekret" not in repr(acme) + repr(acme.settings) + str(dict(acme.settings))


ENTRY_PROBLEMS = [
    ("    requests: {base_url: a.acme.test/api}\n", "4:26", "E301", "did you mean https://a.acme.test/api/?"),
    ("    requests: {base_url: http://a.acme.test}\n", "4:26", "E302", "unencrypted"),
    ("    requests: {base_url: 'https://user:pw@a.test'}\n", "4:26", "E303", "credentials in a URL"),
    ("    requests: {base_url: 'https://${additional_config.sub}'}\n", "4:26", "E304", "whole host"),
    ("    requests:\n      headers:\n        A: Bearer ${acces_token}\n", "6:21", "E306", "acces_token"),
    (
        "    requests:\n      headers:\n        A: 'Bearer ${api_kee}'\n",
        "6:22",
        "E306",
        "did you mean api_key?",
    ),
    ('    requests:\n      headers:\n        A: "é ${api_kee}"\n', "6:17", "E306", "did you mean api_key?"),
    ("    requests:\n      headers:\n        A: ${api_key\n", "6:12", "E307", "never closed"),
    ("    requests:\n      headers:\n        A: x ${ ''.__class__ }\n", "6:14", "E308", "only names"),
    (
        "    requests:\n      headers:\n        A: ${access_token}\n",
        "6:14",
        "E309",
        "API_KEY offers: api_key",
    ),
    ("    requests:\n      headers:\n        A: ${api_key.x}\n", "6:14", "E306", "has no x"),
    ("    requests:\n      headers:\n        A: ${env.HOME}\n", "6:14", "E306", "write ${NAME}"),
    (
        "    requests:\n      headers:\n        A: x ${UNSET_NAME} y\n",
        "6:16",
        "E310",
        "UNSET_NAME is not set",
    ),
    ('    requests:\n      headers:\n        A: "x\\ny"\n', "6:12", "E312", "line break (\\n at 2)"),
    ("    requests:\n      headers:\n        X Key: a\n", "6:9", "E313", "did you mean X-Key?"),
    ("    requests:\n      headers: {x-a: '1', X-A: '2'}\n", "5:27", "E105", "already defined"),
    ("    requests:\n      base_url: https://a.test/${method}\n", "5:34", "E309", "only in what is sent"),
    ("    app_api_key: ${api_key}\n", "4:20", "E306", "environment variable"),
    ("    app_api_key: ${UNSET_NAME}\n", "4:20", "E310", "UNSET_NAME is not set"),
    (
        "    rate_limits: {counted_per: account}\n",
        "4:32",
        "E204",
        "expected connection, integration or a template",
    ),
    ("    verification: {path: ../x}\n", "4:26", "E316", "dot segment"),
    ("    verification: {path: 'https://evil.test/'}\n", "4:26", "E316", "another origin"),
    ("    requests:\n      headers:\n        A: >-\n          text ${api_kee}\n", "6:12", "E306", "api_key"),
]


@pytest.mark.parametrize(("text", "place", "code", "words"), ENTRY_PROBLEMS, ids=range(len(ENTRY_PROBLEMS)))
def test_problem_and_its_exact_place(tmp_path: Path, text: str, place: str, code: str, words: str) -> None:
    """Each wrong template is one problem with its code, its line and its column."""
    lines = problems(tmp_path, ONE + text)
    assert len(lines) == 1
    assert lines[0].startswith(f"integrations.yaml:{place}: error[{code}]: ")
    assert words in lines[0]
    assert "user:pw" not in lines[0]


def test_all_problems_at_once_and_sorted(tmp_path: Path) -> None:
    """Every problem of every entry is reported in one error, in the order of the file."""
    text = (
        "integrations:\n"
        "  acme:\n"
        "    extends_blueprint: acme:v1\n"
        "    log_levle: debug\n"
        "    requests: {headers: {A: '${nope}', B: '${MISSING_ENV}'}}\n"
        "  oauth:\n"
        "    extends_blueprint: oauth:v0\n"
        "    oauth_client_id: a\n"
        "  other:\n"
        "    extends_blueprint: acmee:v1\n"
    )
    lines = problems(tmp_path, text)
    found = [(line.split(":")[1], line.split("error[")[1][:4]) for line in lines]
    assert found == [("4", "E202"), ("5", "E306"), ("5", "E310"), ("6", "E208"), ("10", "E101")]
    assert "OAUTH2 (from blueprint oauth:v0) needs oauth_client_secret" in lines[3]


def test_blueprint_may_not_read_the_environment(tmp_path: Path) -> None:
    """A blueprint that names the environment is refused at its own place, and no value is shown."""
    blueprint = ACME.replace("locale: en", "locale: '${HOME}'")
    lines = problems(tmp_path, ONE, {"HOME": "sekret-home"}, {"acme.v1.yaml": blueprint})
    assert len(lines) == 1
    assert "acme.v1.yaml:10:23: error[E311]: blueprints may not read environment variables" in lines[0]
    assert "sekret-home" not in lines[0]


def test_blueprint_templates_alone(tmp_path: Path) -> None:
    """A blueprint that nothing extends yet has its templates checked too."""
    load(
        tmp_path,
        ONE,
        blueprints={
            "bad.v0.yaml": ACME.replace("name: acme\nversion: v1", "name: bad\nversion: v0").replace(
                "${api_key}", "${api_kee}"
            )
        },
    )
    catalogue = open_catalogue(tmp_path / "blueprints")
    bad = catalogue.find("bad:v0", Position("test"))
    assert [problem.code for problem in check_blueprint_templates(bad)] == ["E306"]
    assert check_blueprint_templates(catalogue.find("acme:v1", Position("test"))) == []


def test_entry_without_blueprint(tmp_path: Path) -> None:
    """An entry may bring everything itself; then auth and requests are required."""
    text = (
        "integrations:\n  in-house:\n    app_api_key: ${KEY}\n    auth: {auth_mode: USERNAME_PASSWORD}\n"
        "    requests: {base_url: 'https://api.example.test/', headers: {X-App: '${app_api_key}'}}\n"
    )
    own = load(tmp_path, text, {"KEY": "k"}).integrations["in-house"]
    assert (own.blueprint, own.title, own.auth_mode) == ("", "in-house", "USERNAME_PASSWORD")
    lines = problems(tmp_path, "integrations:\n  in-house: {log_level: info}\n")
    assert [line.split("error[")[1][:4] for line in lines] == ["E203", "E203"]


def test_timeouts(tmp_path: Path) -> None:
    """The total is the entry's, else the default of config, else 100; it also lowers the parts."""
    text = (
        "integrations:\n"
        "  a: {extends_blueprint: 'acme:v1'}\n"
        "  b: {extends_blueprint: 'acme:v1', http_request_timeout_seconds: 3}\n"
        "  c: {extends_blueprint: 'acme:v1', requests: {timeout_seconds: {read: 50}}}\n"
        "config: {default_http_request_timeout_seconds: 60}\n"
    )
    found = {
        name: (entry.requests.connect_seconds, entry.requests.read_seconds, entry.requests.total_seconds)
        for name, entry in load(tmp_path, text).integrations.items()
    }
    assert found == {"a": (5, 30, 60), "b": (3, 3, 3), "c": (5, 50, 60)}


def test_paths_of_config_are_relative_to_the_file(tmp_path: Path) -> None:
    """Relative paths count from the file that names them; other URLs stay as they are."""
    text = ONE + "config: {database_url: 'sqlite:///data/x.db?a=1', blueprint_paths: [more]}\n"
    (tmp_path / "more").mkdir()
    config = load(tmp_path, text).config
    assert config.database_url == f"sqlite:///{tmp_path}/data/x.db?a=1"
    assert config.blueprint_paths == (f"{tmp_path}/more",)
    for url in ("sqlite:////abs/x.db", "sqlite:///:memory:", "postgresql://h/d"):
        assert load(tmp_path, ONE + f"config: {{database_url: '{url}'}}\n").config.database_url == url


def test_blueprint_paths_are_searched(tmp_path: Path) -> None:
    """A blueprint in a folder of blueprint_paths is found."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "extra.v0.yaml").write_text(
        ACME.replace("name: acme\nversion: v1", "name: extra\nversion: v0")
    )
    text = "integrations:\n  extra: {extends_blueprint: 'extra:v0'}\nconfig: {blueprint_paths: [more]}\n"
    assert load(tmp_path, text).integrations["extra"].blueprint == "extra:v0"


def test_warnings(tmp_path: Path) -> None:
    """A file that others may write, no version, and a retired or deprecated API are warnings, not errors."""
    old = "status: {retires_on: 2024-06-30, migrate_to: 'acme:v1'}\n"
    ending = "status: {deprecated_on: 2025-01-01, retires_on: 2099-01-01}\n"
    blueprints = {
        "old.v0.yaml": ACME.replace("name: acme\nversion: v1", "name: old\nversion: v0") + old,
        "ending.v0.yaml": ACME.replace("name: acme\nversion: v1", "name: ending\nversion: v0") + ending,
    }
    text = (
        "integrations:\n  a: {extends_blueprint: acme}\n  b: {extends_blueprint: 'old:v0'}\n"
        "  c: {extends_blueprint: 'ending:v0'}\n"
    )
    warnings = [str(warning) for warning in load(tmp_path, text, blueprints=blueprints).warnings]
    assert len(warnings) == 3
    assert "acme:v1" in warnings[0]
    assert "retired on 2024-06-30; extend acme:v1 instead" in warnings[1]
    assert "deprecated since 2025-01-01 and retires on 2099-01-01" in warnings[2]
    assert all("warning[W" in warning for warning in warnings)
    (tmp_path / "integrations.yaml").chmod(0o666)
    catalogue = open_catalogue(tmp_path / "blueprints")
    loaded = load_configuration(
        tmp_path / "integrations.yaml", catalogue=catalogue, environ={}, clock=FixedClock()
    )
    assert loaded.warnings[0].code == "W501"


def test_host_variable_end_to_end(tmp_path: Path) -> None:
    """A subdomain from a connection is placed in the host, and only there."""
    text = ONE + "    requests: {base_url: 'https://${additional_config.sub}.acme.test/v1/'}\n"
    template = load(tmp_path, text).integrations["acme"].requests.base_url
    assert render_url(template, {"additional_config": {"sub": "eu"}}) == "https://eu.acme.test/v1/"


def test_mixed_environment_in_the_base_url(tmp_path: Path) -> None:
    """The environment is the operator's word: it may be a host, and is then checked as what it is."""
    text = ONE + "    requests: {base_url: 'https://${API_HOST}/v1/${additional_config.account}/'}\n"
    template = load(tmp_path, text, {"API_HOST": "a.test:8443"}).integrations["acme"].requests.base_url
    assert render_url(template, {"additional_config": {"account": "x/y"}}) == "https://a.test:8443/v1/x%2Fy/"
    whole = ONE + "    requests: {base_url: '${API_URL}'}\n"
    assert (
        load(tmp_path, whole, {"API_URL": "https://a.test/"}).integrations["acme"].requests.base_url.is_hidden
    )
    lines = problems(tmp_path, whole, {"API_URL": "http://sekret.test/"})
    assert "E302" in lines[0]
    assert "sekret" not in lines[0]


def test_thread_storm_cannot_change_a_configuration(tmp_path: Path) -> None:
    """However many threads try, nothing of a configuration can be changed."""
    configuration = load(tmp_path, ONE)
    before = repr(configuration.integrations["acme"].settings)
    failures: list[str] = []

    def attack() -> None:
        acme = configuration.integrations["acme"]
        attempts = (
            lambda: configuration.integrations.__setitem__("x", acme),  # type: ignore[attr-defined]
            lambda: acme.settings.__setitem__("auth", {}),  # type: ignore[attr-defined]
            lambda: acme.settings["requests"]["headers"].update({"X": "y"}),
            lambda: acme.settings["rate_limits"]["budgets"].append(1),
            lambda: acme.app_variables.clear(),  # noqa: PLW0108  # type: ignore[attr-defined]
            lambda: setattr(acme, "name", "x"),
            lambda: setattr(acme.requests, "base_url", "x"),
            lambda: acme.requests.headers.__setitem__(0, "x"),  # type: ignore[attr-defined]
            lambda: setattr(configuration.config, "database_url", "x"),
        )
        for _ in range(200):
            for number, attempt in enumerate(attempts):
                try:
                    attempt()
                except (AttributeError, TypeError, FrozenInstanceError):
                    continue
                failures.append(f"attempt {number} went through")

    threads = [threading.Thread(target=attack) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert repr(configuration.integrations["acme"].settings) == before


def test_loading_changes_nothing_that_was_given(tmp_path: Path) -> None:
    """Mappings from Python are copied, so changing them later changes nothing."""
    entry: dict[str, Any] = {"acme": {"extends_blueprint": "acme:v1", "requests": {"headers": {"X": "1"}}}}
    acme = load(tmp_path, entry).integrations["acme"]
    entry["acme"]["requests"]["headers"]["X"] = "2"
    assert acme.settings["requests"]["headers"]["X"] == "1"
    assert entry["acme"] == {"extends_blueprint": "acme:v1", "requests": {"headers": {"X": "2"}}}
