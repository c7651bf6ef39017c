"""Finds the credentials in requests, where the blueprint puts them, and the users that they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import secrets
import threading
from typing import TYPE_CHECKING

from nango_py.clock import SYSTEM_CLOCK
from nango_py.record import record, replaced
from nango_py.registry import AUTH_MODES
from nango_py.sandbox.expressions import (
    UnknownNameError,
    evaluate,
    is_template,
    names_of,
    pieces,
    render,
    unwrap,
)
from nango_py.sandbox.signed_tokens import read_signed_token
from nango_py.secret import leaves, reveal, secret_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nango_py.clock import Clock
    from nango_py.json_types import Settings

APP_NAMES = frozenset({"app", "app_api_key", "oauth_client_id", "oauth_client_secret"})
"""Credentials of the application, shared by all connections of an integration; a blueprint has none."""

_BASIC = "basic_auth_encoded"
_TOKENS = frozenset({"access_token", "token", "oauth_token"})


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
class _Issued:
    """A token that the sandbox issued."""

    user: str
    token: str
    texts: tuple[str, ...]
    expires_at: float


@record
class _Slot:
    """A header, query parameter, field of the body or path with credentials."""

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

    def __init__(
        self,
        settings: Settings,
        users: Mapping[str, Mapping[str, object]] | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        mode = (settings.get("auth") or {}).get("auth_mode")
        names = (*AUTH_MODES.get(mode).variables, *(settings.get("credentials") or ())) if mode else ()
        kept = {name for step in _steps_of(settings) for name in step.get("keep_secret") or ()}
        self._names = (frozenset(names) | kept) - APP_NAMES
        self._app: dict[str, object] = {
            name: unwrap(settings[name]) for name in APP_NAMES - {"app"} if settings.get(name)
        }
        if settings.get("app"):
            self._app["app"] = {name: unwrap(value) for name, value in settings["app"].items()}
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
        self._clock = clock
        self._has_token = tuple(bool(names_of(text) & (_TOKENS | kept)) for text in self._expressions)
        self._issued: dict[bytes, _Issued] = {}
        self._jwt = ((settings.get("auth") or {}).get("jwt") or {}) if mode == "JWT" else None
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

    def issue(self, user: str, variables: Mapping[str, str], expires_at: float) -> None:
        """Accept tokens of a user until a moment of the monotonic clock; `withdraw` takes the first."""
        with self._lock:
            values = {**dict.fromkeys(self._names), **(self._users or {}).get(user, {}), **variables}
            try:
                texts = self._token_texts(tuple(
                    evaluate(text, values) if has_token else ""
                    for text, has_token in zip(self._expressions, self._has_token, strict=True)
                ))  # fmt: skip
            except UnknownNameError:  # a request needs a token that the user does not have yet
                return
            token = next(iter(variables.values()))
            self._issued[self._digest(texts)] = _Issued(user, token, texts, expires_at)

    def withdraw(self, user: str, token: str = "") -> None:
        """Reject an issued token of a user, or all of them, from now on."""
        with self._lock:
            for key, issued in self._issued.items():
                if issued.user == user and token in {"", issued.token}:
                    self._issued[key] = replaced(issued, expires_at=-math.inf)

    def identify(
        self,
        headers: Sequence[tuple[str, str]],
        params: Sequence[tuple[str, str]],
        in_path: tuple[str, ...],
        body: Sequence[tuple[str, str]] = (),
        replaced_places: frozenset[tuple[str, str]] = frozenset(),
    ) -> Caller | None:
        """The sender of a request, or None if a credential is missing, misplaced or unknown.

        Args:
            headers: lower-case names, and values.
            params: the parsed query.
            in_path: the percent-decoded groups of `base_pattern`.
            body: the fields of `names_in("body")`, by dotted path.
            replaced_places: headers and parameters in which the endpoint has something else.
        """
        credentials: list[str] = []
        unknown: set[int] = set()
        places = {"header": headers, "param": params, "body": body}
        for slot in self._slots:
            values = in_path if slot.place == "path" else slot.extract(places[slot.place])
            if (slot.place, slot.name) in replaced_places:
                values = ("",) * len(slot.expressions)
                unknown |= set(range(len(credentials), len(credentials) + len(values)))
            if values is None:
                return None
            credentials.extend(values)
        found = tuple(map(_normalize, self._expressions, credentials))
        return self._find_without(found, unknown) if unknown else self._find_caller(found)

    def _find_without(self, values: tuple[str, ...], unknown: set[int]) -> Caller | None:
        """The first user whose credentials are those of the request, but for some that are not compared."""
        known = [index for index in range(len(values)) if index not in unknown]
        if self._users is None or not known:
            return Caller(None, "endpoint") if all(values[index] for index in known) else None
        for user, credentials in self._users.items():
            expected = self._expected_texts(credentials)
            compared = [index for index in known if self._comparable[index]]
            if expected is not None and all(_equal(expected[index], values[index]) for index in compared):
                return Caller(user, user)
        return None

    def names_in(self, place: str) -> tuple[str, ...]:
        """The names of the headers (in lower case), params or fields of the body that have credentials.

        Args:
            place: `header`, `param`, or `body` for the dotted paths of its fields.
        """
        return tuple(slot.name for slot in self._slots if slot.place == place)

    def base_pattern(self, base_path: str) -> re.Pattern[str]:
        """A regular expression for paths: a group per credential in the base path, and `endpoint`."""
        pattern = _pattern(base_path.rstrip("/"), self._names | APP_NAMES, "[^/]+")
        return re.compile(pattern + "(?:/(?P<endpoint>.*))?")

    def values_in(
        self, headers: Sequence[tuple[str, str]], params: Sequence[tuple[str, str]]
    ) -> tuple[str, ...]:
        """The credentials of a request, also of one that was refused: whole headers and what is in them."""
        found: list[str] = []
        for slot in self._slots:
            pairs = headers if slot.place == "header" else params
            for name, value in pairs:
                if slot.place != "path" and name == slot.name:
                    found += [value, *value.split()]
        return tuple(found)

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the credentials of users and app, and the tokens that were issued."""
        with self._lock:
            users = [text for each in (self._users or {}).values() for text in secret_leaves(each)]
            tokens = [each.token for each in self._issued.values()]
        return (*users, *tokens, *leaves(self._app))

    def _find_slots(self, requests: Settings) -> Iterator[_Slot]:
        names = self._names | APP_NAMES
        places = [("path", "", path_of(requests.get("base_url") or ""))]
        places += [("header", name.lower(), value) for name, value in (requests.get("headers") or {}).items()]
        places += [("param", name, value) for name, value in (requests.get("params") or {}).items()]
        places += [("body", name, value) for name, value in (requests.get("body") or {}).items()]
        for place, name, value in places:
            if is_template(value):
                expressions = tuple(text for text in pieces(value)[1::2] if names_of(text) & names)
                if expressions:
                    yield _Slot(place, name, re.compile(_pattern(value, names, ".*")), expressions)

    def _index(self) -> None:
        known: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        for user, credentials in (self._users or {}).items():
            expected = self._expected_texts(credentials)
            if expected is not None:
                known.setdefault(self._digest(expected), (user, expected))
        self._known = known

    def _expected_texts(self, credentials: Mapping[str, object]) -> tuple[str, ...] | None:
        """The texts that a user's requests have; None for a user who has no token yet."""
        values = {**dict.fromkeys(self._names), **with_basic(credentials), **self._app}
        try:
            return tuple(
                _normalize(text, evaluate(text, values)) if is_comparable else ""
                for text, is_comparable in zip(self._expressions, self._comparable, strict=True)
            )
        except UnknownNameError:
            return None

    def _find_caller(self, values: tuple[str, ...]) -> Caller | None:
        if not self._slots:
            return Caller(None, "anonymous")
        issued = self._find_issued(values)
        if issued is not None:
            is_valid = self._clock.monotonic() < issued.expires_at
            return Caller(issued.user, issued.user) if is_valid else None
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
        if user is None or not is_known:
            user = self._find_signer(values) if self._jwt is not None else None
        return Caller(user, user) if user is not None else None

    def _find_issued(self, values: tuple[str, ...]) -> _Issued | None:
        if not self._issued:
            return None
        texts = self._token_texts(values)
        issued = self._issued.get(self._digest(texts))
        is_same = issued is not None and _equal("\0".join(issued.texts), "\0".join(texts))
        return issued if is_same else None

    def _token_texts(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Only the values that depend on a token."""
        return tuple(text if has else "" for text, has in zip(values, self._has_token, strict=True))

    def _find_signer(self, values: tuple[str, ...]) -> str | None:
        """The user whose key signed the token of a request (mode JWT)."""
        template = (self._jwt or {}).get("signing_key", "${private_key}")
        for user, credentials in (self._users or {}).items():
            try:
                key = render(unwrap(template), {**dict.fromkeys(self._names), **credentials})
            except UnknownNameError:
                continue
            now = self._clock.now()
            if any(read_signed_token(text, key, now) is not None for text in values):
                return user
        return None

    def _digest(self, values: tuple[str, ...]) -> bytes:
        return hmac.digest(self._key, _encode("\0".join(values)), hashlib.sha256)


def _steps_of(settings: Settings) -> Sequence[Settings]:
    return (settings.get("auth") or {}).get("after_login") or ()


def with_basic(credentials: Mapping[str, object]) -> dict[str, object]:
    """The credentials, and `basic_auth_encoded` of those with a user name."""
    if "username" not in credentials:
        return dict(credentials)
    pair = f"{credentials['username']}:{credentials.get('password', '')}"
    return {**credentials, _BASIC: base64.b64encode(pair.encode()).decode()}


def path_of(base_url: str) -> str:
    """The path of a base_url template."""
    parts = pieces(unwrap(base_url).split("://", 1)[-1])
    for index in range(0, len(parts), 2):  # a slash in an expression separates nothing
        _, slash, path = parts[index].partition("/")
        if slash:
            rest = zip(parts[index + 1 :: 2], parts[index + 2 :: 2], strict=True)
            return slash + path + "".join(f"${{{expression}}}{text}" for expression, text in rest)
    return ""


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
