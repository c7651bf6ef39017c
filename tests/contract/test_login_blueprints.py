"""Every shipped blueprint with a login page logs users in: where it says, and by its own rules."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from nango_py import Nango
from nango_py.config.catalogue import Catalogue
from nango_py.config.schema.facts import key_paths
from nango_py.connect.login import Logins
from nango_py.connect.login_kinds import make_login, uses_browser_login
from nango_py.connect.oauth import provider_fields
from nango_py.connections.connection import thaw
from nango_py.engine.interfaces import run_sync
from nango_py.errors import Position
from nango_py.protocols import oauth2_protocol
from tests.support.login_accounts import AccountsProvider
from tests.support.login_product import COOKIE, stored
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import METHODS, consent
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.provider_server import query_of
from tests.support.sandbox_product import ENCRYPTION_KEY

FILES = sorted((Path(__file__).resolve().parents[2] / "blueprints").glob("*.yaml"))
CATALOGUE = Catalogue([("local", FILES[0].parent)])


@functools.cache
def whole_of(path: Path) -> Any:
    """A blueprint with what it extends merged in."""
    return CATALOGUE.find(path.stem.replace(".", ":", 1), Position(path.name))


def mode_of(path: Path) -> str:
    """The auth mode of the first login, own or inherited, without a parser: this is read by each worker."""
    text = path.read_text(encoding="utf-8")
    logins = re.search(r"^logins:\n  \S+:\n((?:    .*\n|\n)*)", text, re.MULTILINE)
    parent = re.search(r"^extends: (\S+)", text, re.MULTILINE)
    found = re.search(r"\bauth_mode: (\w+)", logins[1] if logins else text)
    if found is None and parent is not None:
        return mode_of(path.with_name(f"{parent[1].replace(':', '.')}.yaml"))
    found = found or re.search(r"\bauth_mode: (\w+)", text)
    assert found is not None, path
    return found[1]


CODES = [path for path in FILES if mode_of(path) == "OAUTH2"]
SIGNED = [path for path in FILES if mode_of(path) == "OAUTH1"]


def product(path: Path, **more: Any) -> Nango:
    """A product whose integration `mail` is the blueprint of a file."""
    app: dict[str, Any] = {"oauth_client_id": CLIENT_ID, "oauth_client_secret": CLIENT_SECRET}
    if names := whole_of(path).settings.get("app_credentials"):
        app["app"] = {name: f"{name}_test" for name in names}
    entry = {"extends_blueprint": whole_of(path).ref, **app, **more}
    return Nango(
        {"mail": entry},
        blueprints=path.parent,
        database_url="sqlite:///:memory:",
        encryption_keys=ENCRYPTION_KEY,
        environ={},
    )


def config_of(path: Path) -> dict[str, Any]:
    """The settings that the blueprint's first example has."""
    config: Any = thaw(whole_of(path).settings["examples"][0].get("additional_config", {}))
    return dict(config)


def put(document: dict[str, Any], pointer: str, value: Any) -> None:
    """Write a value where the first dotted path of a JMESPath reads it."""
    found = re.search(r"\w+(?:\.\w+)*", pointer)
    assert found is not None
    *above, last = found.group().split(".")
    for name in above:
        document = document.setdefault(name, {})
    document[last] = value


def is_host_of(host: str, template: str, settings: Any) -> bool:
    """Whether a host is the one of a template: in its domain, or in the table that it names."""
    if "${hosts." in template:
        return host in settings["hosts"][template.partition("${hosts.")[2].partition("}")[0]].values()
    fixed = urlsplit(template.replace("$", "").replace("{", "").replace("}", ""))
    return host.split(".")[-2:] == str(fixed.hostname).split(".")[-2:]


def test_some_blueprints_have_a_login_page() -> None:
    """Both protocols are among them, and the modes are those that the parser finds."""
    assert {path: mode_of(path) for path in FILES} == {
        path: whole_of(path).settings["auth"]["auth_mode"] for path in FILES
    }
    assert len(CODES) >= 9
    assert len(SIGNED) >= 3


@pytest.mark.parametrize("path", CODES, ids=lambda path: path.stem)
def test_pkce_is_stated_with_a_source(path: Path) -> None:
    """In words, by the blueprint or one that it extends; from a page, or marked as unconfirmed."""
    assert whole_of(path).settings["auth"].get("pkce") in {"required", "supported", "unsupported"}
    document: Any = dict(CATALOGUE.read_files())[path].data
    if "pkce" in (document.get("auth") or {}):
        paths = [*(each["covers"] for each in document.get("sources", ())), document.get("unconfirmed")]
        covered = {text for value in paths for _, text in key_paths(value)}
        assert {"auth", "auth.pkce"} & covered or "PKCE" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CODES, ids=lambda path: path.stem)
def test_the_login_page_is_the_providers(path: Path) -> None:
    """https, state, PKCE unless it says no, our redirect URI, and the scopes as this provider writes them."""
    auth = whole_of(path).settings["auth"]
    with product(path, oauth_scopes=["one", "two"]) as nango:
        declared = nango.configuration.integrations["mail"]
        assert uses_browser_login(declared)
        url = Logins(nango.accounts).begin("mail", "user-1", additional_config=config_of(path))
        parts, query = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
        assert parts.scheme == "https"
        assert is_host_of(str(parts.hostname), auth["authorization_url"], whole_of(path).settings)
        assert query["client_id"] == CLIENT_ID
        assert query["redirect_uri"] == "http://localhost:3003/oauth/callback"
        assert len(query["state"]) == 43
        assert ("code_challenge" in query) == (auth.get("pkce") != "unsupported")
        scopes = [*(auth.get("default_scopes") or ()), "one", "two"]
        assert query["scope"] == auth.get("scope_separator", " ").join(scopes)
        login = make_login(nango.services, declared, "user-1", config_of(path))
        request = oauth2_protocol.code_request(login.context(), code="c", redirect_uri="r", verifier="v")
        assert request.url.startswith("https://")
        looked_up = [name for step in auth.get("after_login") or () for name in step["keep"]]
        assert provider_fields(declared) == {
            *(auth.get("keep_from_callback") or ()), *(auth.get("keep_from_response") or ()), *looked_up,
        }  # fmt: skip


@pytest.mark.parametrize("path", CODES, ids=lambda path: path.stem)
def test_a_login_by_its_rules_is_stored_and_refreshed(path: Path) -> None:
    """Only the provider's addresses are others: client authentication, body format and PKCE are its own."""
    settings = whole_of(path).settings["auth"]
    method = {ours: theirs for theirs, ours in METHODS.items()}[settings.get("authorization_method", "body")]
    config, steps = config_of(path), settings.get("after_login") or ()
    kept = settings.get("keep_from_response") or {}
    account: dict[str, Any] = {"tenantType": "ORGANISATION", "product": "harvest"}
    for step in steps:
        for name, pointer in step["keep"].items():
            put(account, pointer, config.pop(name, "Acme"))
    # The list of candidates is the whole body, or stands below a key: accounts[].
    lists = [str(step["choose"].get("from", "")).partition("[")[0] for step in steps if "choose" in step]
    accounts: Any = account if steps and not lists else [account]
    document: dict[str, Any] = {}
    if lists and lists[0]:
        put(document, lists[0], accounts)
    with AccountsProvider(
        document or accounts,
        client_auth=method,
        rotation="strict",
        requires_pkce=settings.get("pkce") != "unsupported",
    ) as provider:
        steps_here = [{**step, "url": f"{provider.url}/accounts", "headers": {}} for step in steps]
        auth = {
            "authorization_url": f"{provider.url}/authorize",
            "token_url": f"{provider.url}/token",
            "refresh_url": None,
            "issuer": provider.url,
            "after_login": steps_here or None,
            "additional_steps": None,  # the sandbox opens sessions
        }
        paths = {name: one if isinstance(one, str) else one["path"] for name, one in kept.items()}
        raw = (whole_of(path).settings["examples"][0].get("credentials") or {}).get("raw") or {}
        provider.token_fields = {name: text for name, text in raw.items() if name != "access_token"}
        provider.token_fields |= {path: config.pop(name) for name, path in paths.items()}
        redirected = settings.get("keep_from_callback") or {}
        names = dict(redirected) if isinstance(redirected, Mapping) else {name: name for name in redirected}
        more = {parameter: config.pop(name) for name, parameter in names.items()}
        with product(path, auth=auth, oauth_scopes=["things.read"]) as nango:
            url = Logins(nango.accounts).begin("mail", "user-1", browser=COOKIE, additional_config=config)
            renamed = settings.get("callback_params") or {}
            redirect = {renamed.get(name, name): value for name, value in query_of(consent(url)).items()}
            outcome = Logins(nango.accounts).finish({**redirect, **more}, COOKIE)
            assert outcome.ok, outcome.message
            # This provider knows no other scope than things.read.
            assert set(outcome.missing_scopes) <= set(settings.get("default_scopes") or ())
            assert provider.exchanges() == ["granted"]
            first = stored(nango)
            assert first["access_token"] in provider.tokens
            assert len(provider.account_calls) == len(steps)
            nango.update_connection_credentials("mail", "user-1", {**first, "expires_at": 1.0})
            executor, runtime = nango.executor("mail", "user-1"), nango.services.runtime("mail")
            run_sync(executor._usable_connection(runtime, 60.0))  # refreshes the expired token
            refreshes = [outcome for kind, outcome, _ in provider.token_calls if kind == "refresh_token"]
            assert refreshes == ["granted"]
            assert stored(nango)["access_token"] != first["access_token"]


@pytest.mark.parametrize("path", SIGNED, ids=lambda path: path.stem)
def test_a_signed_login_by_its_rules_is_stored(path: Path) -> None:
    """The same for OAuth 1.0a: signature method and HTTP methods are the blueprint's own."""
    with LoginProvider1() as provider:
        auth = {
            "request_url": f"{provider.url}/request_token",
            "authorization_url": f"{provider.url}/authorize",
            "token_url": f"{provider.url}/access_token",
        }
        with product(path, auth=auth) as nango:
            url = Logins(nango.accounts).begin(
                "mail", "user-1", browser=COOKIE, additional_config=config_of(path)
            )
            outcome = Logins(nango.accounts).finish(query_of(consent(url)), COOKIE)
            assert outcome.ok, outcome.message
            assert provider.exchanges() == ["granted"]
            assert set(stored(nango)) == {"oauth_token", "oauth_token_secret", "raw"}
