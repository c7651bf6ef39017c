"""Requests after a login, without I/O: which of the accounts behind a token a connection is for.

Many APIs name the account, or its host, only in a response to a request with the new token. A step of
`auth.after_login` makes such a request; one candidate of its response is chosen, and values of it are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from nango_py.config.urls.hosts import origin_of
from nango_py.config.urls.links import UnreadableLinkError, find_link
from nango_py.config.values import plain
from nango_py.errors import printable, unknown_name
from nango_py.json_path import search_json
from nango_py.pasted_text import find_unusable
from nango_py.protocols.client_auth import add_query, encode_form
from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenRequest
from nango_py.protocols.token_responses import MAX_TOKEN_LENGTH, decode_body
from nango_py.record import field, record, replaced
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

MAX_CANDIDATES = 1000
"""Candidates that users are shown. A value that the program names is looked for among all of them."""

MAX_PAGES = 10
"""Responses with candidates that are read."""

MAX_LABEL_LENGTH = 100
MAX_VALUE_LENGTH = 1024
_OK = range(200, 300)


@record
class Candidate:
    """One account that a connection may be for.

    Attributes:
        value: what identifies it.
        label: its name for people, one printable line.
    """

    value: str
    label: str


@record
class Choice:
    """What the user, or the program, has to choose after a login.

    Attributes:
        name: of the first value that is kept in additional_config, such as `cloud_id`.
        title: what is chosen, such as Site.
        candidates: those to choose from, at most MAX_CANDIDATES.
        default: the value that the user's earlier connection has, if it is among them, or "".
    """

    name: str
    title: str
    candidates: tuple[Candidate, ...]
    default: str = ""


@record
class Kept:
    """What a step keeps of a candidate.

    Attributes:
        values: for additional_config.
        secrets: for the credentials.
    """

    values: JsonObject
    secrets: dict[str, str] = field(repr=False)


class StepFailed(Exception):
    """A step has no usable result. The message holds no credential.

    Attributes:
        status: the HTTP status of the response.
    """

    def __init__(self, what: str, status: int) -> None:
        self.status = status
        super().__init__(what)


def choice_name(step: Settings) -> str:
    """The name of the choice of a step: that of the first value that it keeps."""
    return str.__str__(next(iter(step.get("keep") or step["keep_secret"])))


def kept_names(settings: Settings) -> tuple[str, ...]:
    """The names in additional_config that the steps of an `auth:` block set."""
    steps = settings.get("after_login") or ()
    return tuple(str.__str__(name) for step in steps for name in step.get("keep") or ())


def check_choices(settings: Settings, choices: Mapping[str, str]) -> None:
    """Check what a program chooses in advance.

    Args:
        settings: the `auth:` block.
        choices: the value by the name of the choice.

    Raises:
        ValueError: a choice is unknown.
        TypeError: a value is not text.
    """
    known = [choice_name(step) for step in settings.get("after_login") or () if "choose" in step]
    for name, value in choices.items():
        if name not in known:
            raise ValueError(unknown_name("choice", str(name), known, "" if known else "this login has none"))
        if not isinstance(value, str):
            raise TypeError(f"the choice {name} is of type {type(value).__name__}; expected text")


@without_frames
def step_request(context: TokenContext, step: Settings) -> TokenRequest:
    """The request of a step, with the token as its headers say, by default as bearer token (RFC 6750 2.1)."""
    place = "after_login"
    url = context.url(f"{place}.url", step["url"])
    url = add_query(url, encode_form(context.render_all(step.get("params"), f"{place}.params")))
    headers = {"Accept": "application/json", "Authorization": "Bearer ${access_token}"}
    body = b""
    if step.get("json") is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(plain(step["json"]), separators=(",", ":")).encode()
    own = step.get("headers") or {}
    replaced = {name.lower() for name in own}
    headers = {name: value for name, value in headers.items() if name.lower() not in replaced}
    rendered = context.render_headers({**headers, **own}, f"{place}.headers")
    return TokenRequest(str(step.get("method", "GET")), url, rendered, body)


@without_frames
def next_request(request: TokenRequest, url: str) -> TokenRequest:
    """The request for more candidates; the body stays, and the origin has to.

    Raises:
        StepFailed: the URL leads to another host.
    """
    found = urljoin(request.url, url)
    if origin_of(found) != origin_of(request.url):
        raise StepFailed("the provider names more accounts at another host", 200)
    return replaced(request, url=found)


class StepResponse:
    """The responses of a step.

    Args:
        step: one of `auth.after_login`.
    """

    def __init__(self, step: Settings) -> None:
        self._step = step
        choose: Settings = step.get("choose") or {}
        first = next(iter((step.get("keep") or step["keep_secret"]).values()))
        self._path = str.__str__(choose.get("value") or first)
        self._label = str.__str__(choose.get("label") or self._path)
        self._from = str.__str__(choose.get("from") or "@")
        self._found: dict[str, tuple[str, JsonValue]] = {}

    def add(self, response: TokenResponse) -> str:
        """Take in a response, which is untrusted; the URL of the next one, or "".

        Raises:
            StepFailed: it is not a usable response.
        """
        if response.status not in _OK:
            raise StepFailed(f"a request after the login returned {response.status}", response.status)
        body = None if len(response.body) > LARGEST_RESPONSE else decode_body(response)
        if body is None:
            what = "the response of a request after the login is too large, too deep or not JSON"
            raise StepFailed(what, response.status)
        found = search_json(self._from, body)
        for item in found if isinstance(found, list) and "choose" in self._step else [found]:
            value = _to_text(search_json(self._path, item), self._longest)
            if value:
                self._found.setdefault(value, (_to_text(search_json(self._label, item)) or value, item))
        return self._next_url(response, body)

    @property
    def _longest(self) -> int:
        return MAX_VALUE_LENGTH if self._step.get("keep") else MAX_TOKEN_LENGTH

    def _next_url(self, response: TokenResponse, body: JsonValue) -> str:
        pointer = self._step.get("next")
        if pointer is None:
            return ""
        if isinstance(pointer, Mapping):
            try:
                return find_link(response.header("link"), str.__str__(pointer["link"])) or ""
            except UnreadableLinkError:
                return ""
        found = search_json(str.__str__(pointer), body)
        return found if isinstance(found, str) else ""

    def check(self) -> None:
        """Raise StepFailed if there is no candidate."""
        if not self._found:
            raise StepFailed(f"the provider names no {self.title} that this account may use", 200)

    @property
    def title(self) -> str:
        """What is chosen, for people."""
        return str.__str__((self._step.get("choose") or {}).get("title") or choice_name(self._step))

    def select(self, value: str | None) -> Kept | None:
        """What to keep of the candidate with this value.

        Without a value, those of the only candidate; None if there are several.

        Raises:
            StepFailed: no candidate has that value, or one of its values cannot be kept.
        """
        if value is None and len(self._found) > 1:
            return None
        if value is not None and value not in self._found:
            raise StepFailed(f"the {self.title} that was chosen is not available to this account", 200)
        _, item = self._found[next(iter(self._found)) if value is None else value]
        return Kept(dict(self._values_of(item)), dict(self._secrets_of(item)))

    def choice(self, default: str) -> Choice:
        """What is to be chosen.

        Args:
            default: the value to suggest, if it is among the candidates.
        """
        candidates = [
            Candidate(value, printable(label, MAX_LABEL_LENGTH))
            for value, (label, _) in list(self._found.items())[:MAX_CANDIDATES]
        ]
        default = default if default in self._found else ""
        return Choice(choice_name(self._step), self.title, tuple(candidates), default)

    def _values_of(self, item: JsonValue) -> list[tuple[str, JsonValue]]:
        values: list[tuple[str, JsonValue]] = []
        for name, path in (self._step.get("keep") or {}).items():
            value = search_json(str.__str__(path), item)
            if not isinstance(value, str | int | float):
                continue
            text = value if isinstance(value, str) else ""
            if len(text) > MAX_VALUE_LENGTH or find_unusable(text, is_name=True):
                raise StepFailed(f"the provider's {name} is too long or contains control characters", 200)
            values.append((str.__str__(name), value))
        return values

    def _secrets_of(self, item: JsonValue) -> list[tuple[str, str]]:
        secrets = []
        for name, path in (self._step.get("keep_secret") or {}).items():
            value = search_json(str.__str__(path), item)
            is_usable = isinstance(value, str) and 0 < len(value) <= MAX_TOKEN_LENGTH
            if not isinstance(value, str) or not is_usable or find_unusable(value):
                raise StepFailed(f"the provider sends no usable {str.__str__(name)}", 200)
            secrets.append((str.__str__(name), value))
        return secrets


def _to_text(value: JsonValue, longest: int = MAX_VALUE_LENGTH) -> str:
    """The value as text if it can identify or name something, else ""."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if 0 < len(text) <= longest else ""
