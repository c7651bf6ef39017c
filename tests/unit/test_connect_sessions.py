"""Connect sessions: who may connect what, and until when."""

from __future__ import annotations

import base64
import string
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectFailed, Nango, StorageError, UnknownIntegration
from nango_py.connections.cipher import Key

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py import ConnectSession
    from tests.support.fake_clock import ManualClock

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2)]
INTEGRATIONS = {
    "integrations": {
        "klaviyo": {"extends_blueprint": "klaviyo:v1"},
        "close": {"extends_blueprint": "close:v0"},
    },
    "config": {
        "oauth_server_root_url": "https://product.test/nango/",
        "connect_origins": ["https://app.product.test"],
    },
}


@pytest.fixture
def nango(tmp_path: Path, clock: ManualClock) -> Nango:
    """A product with two integrations."""
    url = f"sqlite:///{tmp_path}/.nango/nango.db"
    return Nango(INTEGRATIONS, database_url=url, encryption_keys=KEYS[:1], clock=clock)


def token_of(session: ConnectSession) -> str:
    """The token as a browser has it."""
    return session.token.reveal()


def test_a_token_carries_the_claims_of_its_session(nango: Nango) -> None:
    """The token says what the session was created for, for the whole of its lifetime."""
    session = nango.connect_session("user-1", ["close"], user_label="ada@product.test")
    claims = nango.read_session(token_of(session))
    assert (claims.user_id, claims.integrations, claims.user_label) == (
        "user-1",
        ("close",),
        "ada@product.test",
    )
    assert claims.ends_at == session.expires_at.timestamp()
    assert session.url == f"https://product.test/nango/connect#session={token_of(session)}"


def test_a_session_includes_all_integrations_by_default(nango: Nango) -> None:
    """Without names a session is for all declared integrations."""
    assert nango.connect_session("user-1").integrations == ("klaviyo", "close")


def test_a_session_expires(nango: Nango, clock: ManualClock) -> None:
    """A token is refused from its expiry on."""
    token = token_of(nango.connect_session("user-1", lifetime_seconds=60))
    clock.advance(59.9)
    nango.read_session(token)
    clock.advance(0.2)
    with pytest.raises(ConnectFailed) as caught:
        nango.read_session(token)
    assert (caught.value.code, caught.value.status) == ("session_expired", 401)


def test_a_changed_token_is_refused(nango: Nango) -> None:
    """No character of a token can be changed, left out or added."""
    token = token_of(nango.connect_session("user-1"))
    changed = [
        token[:-1],
        token + "A",
        token[1:],
        "",
        ".",
        "é." + token,
        "x" * 100_000,
        token.replace(".", ""),
    ]
    for place, old in enumerate(token):
        new = next(char for char in string.ascii_letters if char != old)
        changed.append(token[:place] + new + token[place + 1 :])
    accepted = []
    for text in changed:
        try:
            accepted.append(nango.read_session(text))
        except ConnectFailed as error:
            assert error.code == "session_invalid"  # noqa: PT017 - each of hundreds must be refused
    # The last character of base64 has bits that mean nothing, so one change in it may change nothing.
    assert {claims.user_id for claims in accepted} <= {"user-1"}
    assert len(accepted) <= 1


def test_a_token_of_another_key_is_refused(nango: Nango, tmp_path: Path, clock: ManualClock) -> None:
    """Only holders of the product's keys can create tokens, and they can read them anywhere."""
    url = f"sqlite:///{tmp_path}/other/nango.db"
    with Nango(INTEGRATIONS, database_url=url, encryption_keys=KEYS[1:], clock=clock) as other:
        foreign = token_of(other.connect_session("user-1"))
    with pytest.raises(ConnectFailed, match="not valid"):
        nango.read_session(foreign)
    url = f"sqlite:///{tmp_path}/sibling/nango.db"
    with Nango(INTEGRATIONS, database_url=url, encryption_keys=KEYS[:1], clock=clock) as sibling:
        assert nango.read_session(token_of(sibling.connect_session("user-2"))).user_id == "user-2"


def test_a_value_encrypted_for_another_purpose_is_not_a_token(nango: Nango) -> None:
    """A value of the database, encrypted with the same key, cannot be used as a session."""
    key = Key(base64.b64decode(KEYS[0]))
    sealed = key.seal(b'{"id":"x","user":"victim"}', b"some other place")
    with pytest.raises(ConnectFailed, match="not valid"):
        nango.read_session(f"{key.id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}")


def test_invalid_sessions_are_refused(nango: Nango) -> None:
    """Unknown integrations, foreign origins, bad lifetimes and ids that cannot be stored are refused."""
    with pytest.raises(UnknownIntegration, match='did you mean "close"'):
        nango.connect_session("user-1", ["closse"])
    with pytest.raises(ValueError, match="connect_origins"):
        nango.connect_session("user-1", origin="https://evil.test")
    for seconds in (0, 59, 86_401, -1, float("nan")):
        with pytest.raises(ValueError, match="lifetime_seconds"):
            nango.connect_session("user-1", lifetime_seconds=seconds)
    with pytest.raises(StorageError, match="user_id is empty"):
        nango.connect_session("")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"integrations": "close"}, "integrations must be a list of names"),
        ({"integrations": [7]}, "a name in integrations is of type int; expected text"),
        ({"lifetime_seconds": "900"}, "lifetime_seconds is of type str; expected a number of seconds"),
        ({"user_label": 7}, "user_label is of type int; expected text"),
        ({"origin": 7}, "origin is of type int; expected an origin"),
    ],
)
def test_an_argument_of_the_wrong_type_is_reported(nango: Nango, given: dict[str, Any], said: str) -> None:
    """The error names the given and the expected type."""
    with pytest.raises(TypeError, match=said):
        nango.connect_session("user-1", **given)


@pytest.mark.parametrize("token", [None, b"x.y"])
def test_a_token_that_is_not_text_is_reported(nango: Nango, token: Any) -> None:
    """A developer who forgot to read the header or to reveal the token learns it."""
    with pytest.raises(TypeError, match=r"token is of type .*session\.token\.reveal"):
        nango.read_session(token)


def test_integrations_of_the_wrong_type_are_reported() -> None:
    """Nango(integrations=...) of another type says what it takes."""
    with pytest.raises(TypeError, match="integrations is of type int; expected a path"):
        Nango(5)  # type: ignore[arg-type]  # the slip that is tried


def test_reprs_do_not_show_the_token(nango: Nango) -> None:
    """Neither the session's repr nor that of its claims holds the token."""
    session = nango.connect_session("user-1", origin="https://app.product.test")
    assert token_of(session)[12:] not in f"{session!r} {session} {session.token}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("oauth_server_root_url", "http://product.test"),
        ("oauth_server_root_url", "https://user@product.test"),
        ("oauth_server_root_url", "https://product.test/?x"),
        ("oauth_server_root_url", "https://product.test/oauth/callback"),
        ("connect_origins", ["https://app.test/path"]),
        ("connect_origins", ["*"]),
        ("connect_hosts", ["a b"]),
        ("product_name", ""),
    ],
)
def test_unsafe_urls_are_config_errors(name: str, value: object) -> None:
    """Plain http to other machines, logins in URLs, wildcards and paths are errors of the file."""
    from nango_py import ConfigError

    with pytest.raises(ConfigError, match=name):
        Nango({**INTEGRATIONS, "config": {name: value}})
