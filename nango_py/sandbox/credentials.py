"""Finds the credentials in requests, where the blueprint puts them, and the users that they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
from typing import TYPE_CHECKING

from nango_py.record import record
from nango_py.registry import AUTH_MODES
from nango_py.sandbox.expressions import evaluate, is_template, names_of, pieces, unwrap
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nango_py.json_types import Settings

APP_NAMES = frozenset({"app_api_key", "oauth_client_id", "oauth_client_secret"})
"""Credentials of the application, shared by all connections of an integration; a blueprint has none."""

_BASIC = "basic_auth_encoded"


@record
class Caller:
    """The sender of a request.

    Attributes:
        user: the owner of the credential, or None if the sandbox has no users.
        account: the key of quotas, different for each credential.
    """

    user: str | None
    account: str


@record
class _Slot:
    """A header, query parameter or path with credentials."""

    place: str
    name: str
    pattern: re.Pattern[str]
    expressions: tuple[str, ...]

    def extract(self, pairs: Sequence[tuple[str, str]]) -> tuple[str, ...] | None:
        """The credentials in the slot, or None if it is missing, repeated or has another format."""
        values = [value for name, value in pairs if name == self.name]
        if len(values) != 1:
            return None
        match = self.pattern.fullmatch(values[0])
        return match.groups() if match else None


class Credentials:
    """The credential slots of a blueprint, and the credentials of the users. Thread-safe.

    Args:
        settings: the merged settings of a blueprint or integration.
        users: user id -> credentials. Of users with equal credentials the first is reported. None accepts
            any credential.
    """

    def __init__(self, settings: Settings, users: Mapping[str, Mapping[str, object]] | None) -> None:
        mode = (settings.get("auth") or {}).get("auth_mode")
        self._names = (frozenset(AUTH_MODES.get(mode).variables) if mode else frozenset()) - APP_NAMES
        self._app = {name: unwrap(settings[name]) for name in APP_NAMES if settings.get(name)}
        self._slots = tuple(self._find_slots(settings.get("requests") or {}))
        self._expressions = tuple(text for slot in self._slots for text in slot.expressions)
        self._comparable = tuple(
            names_of(text) <= self._names | self._app.keys() for text in self._expressions
        )
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._users: dict[str, Mapping[str, object]] | None = None
        if users is not None:
            self._users = {user: reveal(credentials) for user, credentials in users.items()}
        self._known: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        self._index()

    def accept(self, user: str, credentials: Mapping[str, object]) -> None:
        """Set or replace the credentials of a user."""
        with self._lock:
            self._users = {**(self._users or {}), user: reveal(credentials)}
            self._index()

    def revoke(self, user: str) -> None:
        """Reject the credentials of a user from now on."""
        with self._lock:
            self._users = {name: value for name, value in (self._users or {}).items() if name != user}
            self._index()

    def identify(
        self, headers: Sequence[tuple[str, str]], params: Sequence[tuple[str, str]], in_path: tuple[str, ...]
    ) -> Caller | None:
        """The sender of a request, or None if a credential is missing, misplaced or unknown.

        Args:
            headers: lower-case names, and values.
            params: the parsed query.
            in_path: the percent-decoded groups of `base_pattern`.
        """
        credentials: list[str] = []
        for slot in self._slots:
            pairs = headers if slot.place == "header" else params
            values = in_path if slot.place == "path" else slot.extract(pairs)
            if values is None:
                return None
            credentials.extend(values)
        return self._find_caller(tuple(map(_normalize, self._expressions, credentials)))

    def base_pattern(self, base_path: str) -> re.Pattern[str]:
        """A regular expression for paths: a group per credential in the base path, and `endpoint`."""
        pattern = _pattern(base_path.rstrip("/"), self._names | APP_NAMES, "[^/]+")
        return re.compile(pattern + "(?:/(?P<endpoint>.*))?")

    def _find_slots(self, requests: Settings) -> Iterator[_Slot]:
        names = self._names | APP_NAMES
        places = [("path", "", path_of(requests.get("base_url") or ""))]
        places += [("header", name.lower(), value) for name, value in (requests.get("headers") or {}).items()]
        places += [("param", name, value) for name, value in (requests.get("params") or {}).items()]
        for place, name, value in places:
            if is_template(value):
                expressions = tuple(text for text in pieces(value)[1::2] if names_of(text) & names)
                if expressions:
                    yield _Slot(place, name, re.compile(_pattern(value, names, ".*")), expressions)

    def _index(self) -> None:
        known: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        for user, credentials in (self._users or {}).items():
            expected = self._expected(credentials)
            known.setdefault(self._digest(expected), (user, expected))
        self._known = known

    def _expected(self, credentials: Mapping[str, object]) -> tuple[str, ...]:
        values: dict[str, object] = {**dict.fromkeys(self._names), **credentials, **self._app}
        if "username" in credentials:
            pair = f"{credentials['username']}:{credentials.get('password', '')}"
            values[_BASIC] = base64.b64encode(pair.encode()).decode()
        return tuple(
            _normalize(text, evaluate(text, values)) if is_comparable else ""
            for text, is_comparable in zip(self._expressions, self._comparable, strict=True)
        )

    def _find_caller(self, values: tuple[str, ...]) -> Caller | None:
        if not self._slots:
            return Caller(None, "anonymous")
        if self._users is None:
            is_valid = all(
                _equal(evaluate(text, self._app), value)
                if names_of(text) <= self._app.keys()
                else value != ""
                for text, value in zip(self._expressions, values, strict=True)
            )
            return Caller(None, self._digest(values).hex()[:16]) if is_valid else None
        # Expressions with values that the sandbox does not know, such as additional_config, are not compared.
        pairs = zip(values, self._comparable, strict=True)
        given = tuple(value if is_comparable else "" for value, is_comparable in pairs)
        # Lookup by a keyed digest, then a constant-time comparison: timing reveals nothing of a credential.
        user, expected = self._known.get(self._digest(given), (None, given))
        is_known = user is not None and _equal("\0".join(expected), "\0".join(given))
        return Caller(user, user) if user is not None and is_known else None

    def _digest(self, values: tuple[str, ...]) -> bytes:
        return hmac.digest(self._key, _encode("\0".join(values)), hashlib.sha256)


def path_of(base_url: str) -> str:
    """The path of a base_url template."""
    after_scheme = unwrap(base_url).split("://", 1)[-1]
    _, slash, path = after_scheme.partition("/")
    return slash + path


def _pattern(template: str, names: frozenset[str], any_value: str) -> str:
    """A regular expression with a group for each expression that uses one of the names."""
    parts = pieces(template)
    return "".join(
        re.escape(part)
        if index % 2 == 0
        else f"({any_value})"
        if names_of(part) & names
        else f"(?:{any_value})"
        for index, part in enumerate(parts)
    )


def _normalize(expression: str, text: str) -> str:
    """The text to compare: a Basic credential as user:password, or "" if it is malformed."""
    if expression.strip() != _BASIC:
        return text
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return pair if ":" in pair else ""


def _equal(expected: str, given: str) -> bool:
    return hmac.compare_digest(_encode(expected), _encode(given))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
