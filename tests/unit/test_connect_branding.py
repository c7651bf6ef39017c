"""Logos, colours, account names, scopes and ways back: from the files to the data of the connect page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from nango_py import ConfigError, Nango
from nango_py.connect.form_values import parse_value
from nango_py.connect.forms import Field, make_form
from nango_py.connect.listing import list_integrations
from nango_py.connect.words import load_words
from tests.support.planted_secrets import secret
from tests.support.sandbox_product import ENCRYPTION_KEY

ROOT = Path(__file__).resolve().parents[2]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
TOKEN = secret(1)
RAW = {
    "team": {"name": "Acme <b>Inc</b>", "id": 7, "is_admin": True, "token": TOKEN},
    "access_token": TOKEN,
    "greeting": f"Hello {TOKEN}",
    "names": ["a"],
    "long": "x" * 500,
}
LOGIN = {
    "auth": {"auth_mode": "OAUTH2", "authorization_url": "https://a.test/", "token_url": "https://a.test/t"},
    "oauth_client_id": "id",
    "oauth_client_secret": "secret",
    "oauth_scopes": ["read", "write"],
    "requests": {"base_url": "https://api.test/", "headers": {"Authorization": "Bearer ${access_token}"}},
}


def open_nango(entry: dict[str, Any], config: dict[str, Any] | None = None) -> Nango:
    """A Nango with one integration, `app`."""
    return Nango(
        {"integrations": {"app": {**LOGIN, **entry}}, "config": config or {}},
        database_url="sqlite:///:memory:",
        encryption_keys=ENCRYPTION_KEY,
        environ={},
    )


def page_data(nango: Nango, **options: Any) -> Any:
    """What the page gets for a new session."""
    session = nango.connect_session("ada", **options)
    return list_integrations(nango.accounts, nango.read_session(session.token.reveal()))


def test_logos_are_files_beside_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blueprints, integrations.yaml and Python: each path is relative to where it is written."""
    (tmp_path / "blueprints" / "art").mkdir(parents=True)
    (tmp_path / "blueprints" / "art" / "a.svg").write_text(SVG)
    (tmp_path / "own.svg").write_text(SVG.replace("1 1", "2 2"))
    requests = "requests: {base_url: 'https://a.test/', params: {k: '${api_key}'}}"
    base = f"auth: {{auth_mode: API_KEY}}\n{requests}\n"
    text = f"name: acme\nversion: v1\nlogo: art/a.svg\n{base}"
    (tmp_path / "blueprints" / "acme.v1.yaml").write_text(text)
    (tmp_path / "integrations.yaml").write_text(
        "integrations:\n  one: {extends_blueprint: 'acme:v1'}\n"
        "  two: {extends_blueprint: 'acme:v1', logo: own.svg}\n"
        "  none: {extends_blueprint: 'acme:v1', logo: null}\n"
        "  stripe: {extends_blueprint: 'stripe:v1'}\n"
        "config: {product_logo: own.svg}\n"
    )
    options: dict[str, Any] = {"database_url": "sqlite:///:memory:", "encryption_keys": ENCRYPTION_KEY}
    for _ in range(2):  # the second start reads the cache
        with Nango(tmp_path / "integrations.yaml", environ={}, **options) as nango:
            data = page_data(nango)
        logos = {each["name"]: each["logo"] for each in data["integrations"]}
        assert base64.b64decode(logos["one"].partition(",")[2]).decode() == SVG
        assert logos["two"] == data["brand"]["logo"] != logos["one"]
        assert logos["none"] == ""
        assert logos["stripe"].startswith("data:image/svg+xml;base64,")
    monkeypatch.chdir(tmp_path)
    with open_nango({"logo": "own.svg"}) as nango:
        monkeypatch.chdir("/")
        assert page_data(nango)["integrations"][0]["logo"] == logos["two"]
        (tmp_path / "own.svg").unlink()
        assert page_data(nango)["integrations"][0]["logo"] == ""


BAD = [
    ({"logo": "missing.svg"}, {}, "missing.svg is not a file"),
    ({"logo": "README.md"}, {}, "an SVG, PNG"),
    ({"logo": "https://a.test/a.svg"}, {}, "an SVG, PNG"),
    ({"logo": "big.png"}, {}, "has 70000 bytes"),
    ({"logo": "folder.svg"}, {}, "is not a file"),
    ({"logo": 3}, {}, "logo"),
    ({"account": "raw.["}, {}, "not a JMESPath"),
    ({"account": ""}, {}, "account"),
    ({"scopes": ["read"]}, {}, "scopes"),
    ({"scopes": {"read": ""}}, {}, "at most 200 characters"),
    ({"scopes": {"read": "x" * 201}}, {}, "at most 200 characters"),
    ({}, {"product_logo": "missing.svg"}, "missing.svg is not a file"),
    ({}, {"product_color": "red"}, "#2f55c8"),
    ({}, {"product_color": "#fff;}"}, "#2f55c8"),
    ({}, {"support_url": "javascript:alert(1)"}, "https://"),
    ({}, {"support_url": "mailto:"}, "mailto:"),
]


@pytest.mark.parametrize(("entry", "config", "says"), BAD, ids=lambda value: repr(value)[:40])
def test_bad_values_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Any, config: Any, says: str
) -> None:
    """Each problem names its key's place and what is expected."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big.png").write_bytes(bytes(70_000))
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ConfigError) as caught, open_nango(entry, config) as nango:
        _ = nango.configuration
    (problem,) = caught.value.problems
    assert says in str(problem)
    assert problem.code in {"E201", "E203", "E204", "E205", "E206", "E324"}


def test_shipped_logos_are_named_and_licensed() -> None:
    """Each file is used by a blueprint, and the folder says where they come from."""
    texts = "".join(path.read_text() for path in (ROOT / "blueprints").glob("*.yaml"))
    files = {path.name for path in (ROOT / "blueprints" / "logos").glob("*.svg")}
    assert len(files) >= 14
    assert all(f"logo: logos/{name}\n" in texts for name in files)
    assert "CC0" in (ROOT / "blueprints" / "logos" / "LICENSE.md").read_text()


ACCOUNTS = {
    "raw.team.name": "Acme <b>Inc</b>",
    "raw.team.id": "7",
    "additional_config.site": "acme.test",
    "raw.team.name || raw.other": "Acme <b>Inc</b>",
    "raw.missing.name": "",
    "raw.team.is_admin": "",
    "raw.names": "",
    "raw.access_token": "",
    "raw.team.token": "",
    "raw.greeting": "",
    "access_token": "",
    "abs(raw.team.name)": "",
}


@pytest.mark.parametrize(("path", "name"), ACCOUNTS.items())
def test_the_account_is_named_and_no_credential_is(path: str, name: str) -> None:
    """The blueprint's path finds a name; whatever else it finds, a token is never shown."""
    with open_nango({"account": path}) as nango:
        assert page_data(nango)["integrations"][0]["account"] == ""
        credentials = {"access_token": TOKEN, "raw": RAW}
        nango.register_connection("app", "ada", credentials, {"site": "acme.test"})
        data = page_data(nango)
    assert data["integrations"][0]["account"] == name
    assert TOKEN not in str(data)


def test_a_long_account_name_is_cut() -> None:
    """A name of 500 characters does not fill the page."""
    with open_nango({"account": "raw.long"}) as nango:
        nango.register_connection("app", "ada", {"access_token": TOKEN, "raw": RAW})
        assert 90 <= len(page_data(nango)["integrations"][0]["account"]) <= 110


def test_scopes_have_sentences() -> None:
    """A scope is described where the blueprint describes it."""
    with open_nango({"scopes": {"read": "See your things", "other": "x"}}) as nango:
        (offer,) = page_data(nango)["integrations"]
    assert offer["scopes"] == [{"name": "read", "text": "See your things"}, {"name": "write", "text": ""}]


URLS = {
    "https://acme.test/settings?tab=1#apps": True,
    "http://localhost:3000/": True,
    "http://127.0.0.1": True,
    "https://[2001:db8::1]:8443/x": True,
    "https://äcme.test?x": True,
    "": True,
    "https://": False,
    "https://[": False,
    "https://acme.test:port/": False,
    "https://acme.test@evil.test/": False,
    "https://acme.test/\ud800": False,
    "https://acme.test/\u202ex": False,
    "http://acme.test/": False,
    "http://localhost.evil.test/": False,
    "javascript:alert(1)": False,
    "//acme.test/": False,
    "/settings": False,
    "https://acme.test/ x": False,
    "https://acme.test/\nx": False,
    'https://acme.test/"x': False,
    "https://acme.test/" + "x" * 2000: False,
}


@pytest.mark.parametrize(("url", "is_valid"), URLS.items(), ids=lambda value: repr(value)[:30])
def test_return_urls(url: str, is_valid: object) -> None:
    """A session carries an https URL, or one of this machine, and nothing else."""
    with open_nango({}) as nango:
        if is_valid:
            assert page_data(nango, return_url=url)["return_url"] == url
        else:
            with pytest.raises(ValueError, match="return_url"):
                nango.connect_session("ada", return_url=url)
        with pytest.raises(TypeError):
            nango.connect_session("ada", return_url=None)  # type: ignore[arg-type]
        for language in ("xx", "de-DE", "EN"):
            with pytest.raises(ValueError, match="language"):
                nango.connect_session("ada", language=language)


SENTENCES = [
    ("", "Enter your Fleetly key."),
    ("xx_1", "Keys start with fl_, for example fl_0123456789."),
    ("fl_?", "This does not look right. It should look like fl_0123456789."),
]


@pytest.mark.parametrize(("given", "sentence"), SENTENCES)
def test_sentences_of_a_key(given: str, sentence: str) -> None:
    """A missing key and a malformed key have different messages, in plain words."""
    entry = {
        "title": "Fleetly",
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.test/", "headers": {"Authorization": "Bearer ${api_key}"}},
        "credentials": {
            "api_key": {"title": "Fleetly key", "pattern": "^fl_[0-9]+$", "example": "fl_0123456789"}
        },
    }
    with Nango({"app": entry}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY) as nango:
        (field,) = make_form(nango.configuration.integrations["app"]).fields
    assert parse_value(field, given)[1] == sentence
    assert parse_value(field, given, load_words("de"))[1] != sentence


def test_a_verdict_keeps_the_capital_of_the_brand() -> None:
    """The API's verdict names the key as the form does: "this Fleetly key", but "this secret key"."""
    names = {"Fleetly key": "this Fleetly key", "Secret key": "this secret key", "API key": "this API key"}
    for title, name in names.items():
        entry = {
            "title": "Fleetly",
            "auth": {"auth_mode": "API_KEY"},
            "requests": {"base_url": "https://api.test/", "headers": {"Authorization": "Bearer ${api_key}"}},
            "credentials": {"api_key": {"title": title}},
        }
        with Nango(
            {"app": entry}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY
        ) as nango:
            found = nango.verify_credentials("app", "ada", {"api_key": "fl_0123456789"})
        assert name in found.message


PREFIXES = {
    "^sk_": "sk_",
    "^sk_(test|live)_": "sk_",
    "^sk_|^pk_": "",
    "^[a-z]+": "",
    "^ab?c": "a",
    "^ab{2}": "a",
    "^ab*": "a",
    "^ab+": "ab",
    "^a?": "",
    "sk_": "",
    "": "",
}


@pytest.mark.parametrize(("pattern", "prefix"), PREFIXES.items())
def test_the_start_of_a_pattern(pattern: str, prefix: str) -> None:
    """Only what every match begins with is a prefix."""
    assert Field("credentials", "k", "Key", pattern=pattern).prefix == prefix
