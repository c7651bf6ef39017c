"""What the login endpoints of a sandbox know of its blueprint, and what they make up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.json_path import search_json
from nango_py.sandbox.documents import write_at_path
from nango_py.sandbox.expressions import UnknownNameError, is_template, names_of, pieces, render, unwrap
from nango_py.sandbox.made_up import made_up_setting
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.logins.requests import RefusedError

_RAW = re.compile(r"\braw\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
UNIT_SECONDS = {"seconds": 1.0, "milliseconds": 0.001, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}


class Provider:
    """The `auth:` section of a blueprint and the credentials of its application.

    Args:
        settings: the merged settings of a blueprint or integration.
        users: user id -> credentials, or None if the sandbox has none.
    """

    def __init__(self, settings: Settings, users: Mapping[str, Mapping[str, object]] | None) -> None:
        self.settings = settings
        self.auth: Settings = settings.get("auth") or {}
        self.mode = unwrap(self.auth.get("auth_mode") or "")
        self.users = None if users is None else {name: reveal(given) for name, given in users.items()}
        self.client_id = unwrap(settings.get("oauth_client_id") or "")
        self.client_secret = unwrap(settings.get("oauth_client_secret") or "")

    def text(self, key: str, default: str = "") -> str:
        """A setting of `auth:` as text."""
        value = self.auth.get(key)
        return default if value is None else unwrap(value)

    def number(self, key: str) -> float | None:
        """A setting of `auth:` as a number."""
        value = self.auth.get(key)
        return None if value is None else float(value)

    @property
    def scope_separator(self) -> str:
        """What separates scopes."""
        return self.text("scope_separator", " ")

    @property
    def pkce(self) -> str:
        """`required`, `unsupported`, or "" if the blueprint leaves it open."""
        value = self.auth.get("pkce")
        if isinstance(value, bool):
            return "required" if value else "unsupported"
        return str(value) if value in {"required", "unsupported"} else ""

    def render_for(self, template: object, variables: Mapping[str, object]) -> str | None:
        """A template with these variables; None if it needs another one."""
        app = {"oauth_client_id": self.client_id or None, "oauth_client_secret": self.client_secret or None}
        text = unwrap(template)
        try:
            return render(text, {**app, **variables}) if is_template(template) else text
        except UnknownNameError:
            return None

    def raw_paths(self) -> set[str]:
        """The members of token responses that templates of the blueprint and `account` name."""
        paths = {path for text in _texts(self.settings) if is_template(text) for path in _raw_names(text)}
        account = unwrap(self.settings.get("account") or "")
        return paths | ({account.removeprefix("raw.")} if account.startswith("raw.") else set())

    def raw_example(self) -> JsonValue:
        """The token response in the credentials of the blueprint's examples, or None."""
        for example in self.settings.get("examples") or ():
            raw = (example.get("credentials") or {}).get("raw")
            if raw:
                return dict(raw)
        return None

    def fill(self, document: JsonValue) -> JsonValue:
        """A token response with everything that the blueprint reads from it."""
        for name, kept in (self.auth.get("keep_from_response") or {}).items():
            path = unwrap(kept["path"] if hasattr(kept, "items") else kept)
            if search_json(path, document) is None:
                document = write_at_path(document, path, made_up_setting(self.settings, name))
        for path in sorted(self.raw_paths()):
            if search_json(path, document) is None:
                document = write_at_path(document, path, "sandbox")
        return document

    def expiry(self, document: JsonValue, seconds: float, now: float, parent: str) -> JsonValue:
        """A token response with the lifetime, where and how the blueprint reads it."""
        if self.auth.get("expires_at_path"):
            return write_at_path(document, self.text("expires_at_path"), int(now + seconds))
        if self.auth.get("token_lifetime_seconds") and not self.auth.get("expires_in_path"):
            return document  # the API does not say it
        unit = UNIT_SECONDS[self.text("expires_in_unit", "seconds")]
        path = self.text("expires_in_path", f"{parent}expires_in")
        return write_at_path(document, path, int(seconds / unit))

    def refusal(self, refused: RefusedError) -> tuple[int, JsonValue]:
        """Status and body of a refusal; that of an ended grant is the blueprint's first `grant_ended`."""
        body: JsonValue = {"error": refused.code, "error_description": str(refused)}
        conditions = self.auth.get("grant_ended") or ()
        if not refused.ends_grant or not conditions:
            return refused.status, body
        condition = conditions[0]
        status = condition.get("status", refused.status)
        wanted = condition.get("json")
        if wanted:
            body = write_at_path(body, unwrap(wanted["path"]), wanted["equals"])
        if condition.get("body_contains"):
            body = write_at_path(body, "message", unwrap(condition["body_contains"]))
        return int(status if isinstance(status, int) else status[0]), body


def _texts(value: object) -> Iterator[object]:
    if hasattr(value, "items"):
        for item in value.items():
            yield from _texts(item[1])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    else:
        yield value


def _raw_names(template: object) -> set[str]:
    expressions = pieces(unwrap(template))[1::2]
    return {path for text in expressions if "raw" in names_of(text) for path in _RAW.findall(text)}
