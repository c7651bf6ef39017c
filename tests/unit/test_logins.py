"""Several logins in one blueprint: each is a layer over the rest, and integrations.yaml chooses one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.cli import main
from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from nango_py.errors import ConfigError, Position
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.config.model import Configuration, Integration

DESK = """\
name: desk
version: v1
title: Desk
connection_config:
  type: object
  properties: {shard: {type: string, title: Shard}}
requests:
  base_url: https://api.desk.test/v1/
  headers: {Accept: application/json}
errors: {message: error.message}
verification: {path: me}
logins:
  oauth:
    auth:
      auth_mode: OAUTH2
      authorization_url: https://id.desk.test/authorize
      token_url: https://id.desk.test/token
    requests:
      headers: {authorization: "Bearer ${access_token}"}
  api_token:
    auth: {auth_mode: API_KEY}
    requests:
      base_url: https://keys.desk.test/v1/
      headers: {X-Token: "${api_key}"}
    credentials: {api_key: {title: API token, help: In Settings.}}
    connection_config: null
    status: {deprecated_on: 2026-01-01, retires_on: 2027-03-01}
"""


def load(folder: Path, entry: str, blueprint: str = DESK, clock: Any = None, **over: Any) -> Configuration:
    """The configuration with one integration, over the blueprint in a folder."""
    (folder / "blueprints").mkdir(exist_ok=True)
    (folder / "blueprints" / "desk.v1.yaml").write_text(blueprint)
    (folder / "integrations.yaml").write_text(f"integrations:\n  desk:\n{entry}")
    catalogue = Catalogue([("local", folder / "blueprints")])
    options = {"clock": clock} if clock else {}
    return load_configuration(
        folder / "integrations.yaml", environ={}, catalogue=catalogue, overrides=over, **options
    )


def integration(*given: Any, **over: Any) -> Integration:
    """The one integration."""
    return load(*given, **over).integrations["desk"]


OAUTH = '    extends_blueprint: desk:v1\n    oauth_client_id: "1"\n    oauth_client_secret: s\n'
TOKEN = "    extends_blueprint: desk:v1\n    login: api_token\n"


def test_the_first_login_is_the_default(tmp_path: Path) -> None:
    """Its layer is merged over the rest: headers are added, and what it does not name stays."""
    found = integration(tmp_path, OAUTH)
    assert (found.auth_mode, found.requests.base_url.source) == ("OAUTH2", "https://api.desk.test/v1/")
    assert [name for name, _ in found.requests.headers] == ["Accept", "authorization"]
    assert found.settings["errors"] == {"message": "error.message"}
    assert "logins" not in found.settings


def test_integrations_yaml_chooses_another(tmp_path: Path) -> None:
    """A null in a layer removes the key; settings of the entry override those of the login."""
    found = integration(tmp_path, TOKEN + "    requests: {headers: {X-Extra: a}}\n")
    assert (found.auth_mode, found.requests.base_url.source) == ("API_KEY", "https://keys.desk.test/v1/")
    assert [name for name, _ in found.requests.headers] == ["Accept", "X-Token", "X-Extra"]
    assert "connection_config" not in found.settings


def test_overrides_choose_too(tmp_path: Path) -> None:
    """As tests do it."""
    assert integration(tmp_path, OAUTH, desk={"login": "api_token"}).auth_mode == "API_KEY"


def test_a_login_has_its_own_end(tmp_path: Path) -> None:
    """The warning names the login; the other login has none."""
    clock = ManualClock(1_790_000_000)  # September 2026
    (warning,) = load(tmp_path, TOKEN, clock=clock).warnings
    assert warning.code == "W504"
    assert all(word in warning.what for word in ("api_token", "desk:v1", "2027-03-01"))
    assert load(tmp_path, OAUTH, clock=clock).warnings == ()


def test_a_blueprint_that_extends_has_the_logins_too(tmp_path: Path) -> None:
    """It may change one of them, and add another."""
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "own.v1.yaml").write_text(
        "name: own\nversion: v1\nextends: desk:v1\n"
        "logins:\n  api_token: {requests: {base_url: 'https://own.desk.test/'}}\n"
        "  basic:\n    auth: {auth_mode: BASIC}\n"
        "    requests: {headers: {Authorization: 'Basic ${basic_auth_encoded}'}}\n"
    )
    found = {
        login: integration(tmp_path, f"    extends_blueprint: own:v1\n    login: {login}\n")
        for login in ("api_token", "basic")
    }
    assert found["api_token"].requests.base_url.source == "https://own.desk.test/"
    assert found["api_token"].auth_mode == "API_KEY"
    assert found["basic"].auth_mode == "BASIC"


def test_a_null_in_an_inherited_login_removes_what_the_rest_says(tmp_path: Path) -> None:
    """Also if the rest, the login, or both are inherited; a null instead of a login removes the login."""
    (tmp_path / "blueprints").mkdir()
    texts = {
        "base": "auth: {auth_mode: API_KEY}\n"
        "requests: {base_url: 'https://a.test/', headers: {X-Key: '${api_key}', X-Old: a}}\n",
        "child": "extends: base:v1\nlogins: {one: {requests: {headers: {X-Old: null}}}, two: {title: b}}\n",
        "grand": "extends: child:v1\nlogins: {one: {title: One}, two: null}\n",
    }
    for name, text in texts.items():
        (tmp_path / "blueprints" / f"{name}.v1.yaml").write_text(f"name: {name}\nversion: v1\n{text}")

    def headers(name: str, login: str) -> list[str]:
        found = integration(tmp_path, f"    extends_blueprint: {name}:v1\n    login: {login}\n")
        return [header for header, _ in found.requests.headers]

    assert headers("child", "one") == headers("grand", "one") == ["X-Key"]
    assert headers("child", "two") == ["X-Key", "X-Old"]
    with pytest.raises(ConfigError, match='unknown login "two"'):
        headers("grand", "two")


def test_an_entry_without_a_blueprint_may_have_logins(tmp_path: Path) -> None:
    """The same layers, for a blueprint of the product."""
    body = "".join(f"    {line}\n" for line in DESK.splitlines()[3:])
    assert integration(tmp_path, body + "    login: api_token\n").auth_mode == "API_KEY"


# By name: the entry, the blueprint, the problems, and words of the message.
WRONG: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "an unknown login": (
        "    extends_blueprint: desk:v1\n    login: api_tokn\n",
        DESK,
        ("integrations.yaml:4:12 E101",),
        'did you mean "api_token"?',
    ),
    "a login where there are none": (
        "    extends_blueprint: desk:v1\n    login: oauth\n",
        DESK.partition("logins:")[0] + "auth: {auth_mode: API_KEY}\n",
        ("integrations.yaml:4:12 E101",),
        "the blueprint has no logins",
    ),
    "an unknown key of a login": (
        TOKEN,
        DESK.replace("    auth: {auth_mode: API_KEY}", "    auht: {auth_mode: API_KEY}"),
        ("desk.v1.yaml:21:5 E202",),
        'did you mean "auth"?',
    ),
    "a login without auth": (
        OAUTH,
        DESK.replace("    auth: {auth_mode: API_KEY}\n", ""),
        ("desk.v1.yaml:20:3 E203",),
        'missing top-level key "auth"',
    ),
    "no login": (OAUTH, DESK.partition("logins:")[0] + "logins: {}\n", ("desk.v1.yaml:12:9 E203",), "login"),
    "a name with a space": (
        OAUTH,
        DESK.replace("  api_token:", "  api token:"),
        ("desk.v1.yaml:20:3 E104",),
        "a-z 0-9",
    ),
    "logins over a blueprint": (
        OAUTH + "    logins: {mine: {auth: {auth_mode: NONE}}}\n",
        DESK,
        ("integrations.yaml:6:5 E204",),
        "write them into a blueprint",
    ),
    "logins inside a login": (
        OAUTH,
        DESK.replace("  api_token:\n", "  api_token:\n    logins: {}\n"),
        ("desk.v1.yaml:21:5 E202",),
        'unknown key "logins"',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_login_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and the form to write."""
    entry, desk, places, words = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, entry, desk)
    problems = caught.value.problems
    found = tuple(
        f"{each.position.file.rpartition('/')[2]}:{each.position.line}:{each.position.column} {each.code}"
        for each in problems
    )
    assert found == places, str(caught.value)
    assert words in str(caught.value)


def test_check_reads_every_login(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`nango check` compiles the templates of each; `blueprints show` names them."""
    file = tmp_path / "desk.v1.yaml"
    file.write_text(DESK)
    assert main(("check", str(file))) == 0
    file.write_text(DESK.replace("${api_key}", "${api_kye}"))
    assert main(("check", str(file))) == 2
    assert "desk.v1.yaml:24:29: error[E306]" in capsys.readouterr().err
    assert main(("--blueprints", str(tmp_path), "blueprints", "show", "desk:v1")) == 0
    assert "oauth, api_token" in capsys.readouterr().out


def test_a_login_survives_the_cache(tmp_path: Path) -> None:
    """The second start of a product reads the configuration from the cache, with the same login."""
    load(tmp_path, TOKEN)
    for _ in range(2):
        with Nango(
            tmp_path / "integrations.yaml",
            database_url=f"sqlite:///{tmp_path}/nango.db",
            encryption_keys=ENCRYPTION_KEY,
        ) as nango:
            nango.register_connection("desk", "user-1", {"api_key": "k"}, replace=True)
            plan = nango.executor("desk", "user-1").plan("GET", "me")
            assert plan.url == "https://keys.desk.test/v1/me"


def test_a_login_of_the_catalogue(tmp_path: Path) -> None:
    """`find` gives the blueprint with the login that is asked for, and the names of all."""
    load(tmp_path, TOKEN)
    catalogue = Catalogue([("local", tmp_path / "blueprints")])
    first = catalogue.find("desk:v1", Position("i"))
    other = catalogue.find("desk:v1", Position("i"), login="api_token")
    assert (first.login, other.login, first.logins) == ("oauth", "api_token", ("oauth", "api_token"))
    assert first.settings["auth"]["auth_mode"] == "OAUTH2"
