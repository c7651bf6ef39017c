"""What a renewal is made of: a token request, its response, and how it may end.

A mode's `renewal` is a generator: it yields a TokenRequest, is sent the TokenResponse, and returns the
credentials to store. Whoever drives it owns the socket and the time.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem, percent_encoded
from nango_py.config.template.headers import check_header_name, check_header_value
from nango_py.config.urls.base_url import render_url
from nango_py.errors import ConfigError, Position, Problem
from nango_py.record import field, record

if TYPE_CHECKING:
    from nango_py.config.model import RequestSettings

LARGEST_RESPONSE = 1_048_576
"""Bytes of a token endpoint's response beyond which it is refused; a driver need not read further."""

_ERROR_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@record
class TokenRequest:
    """One request to a token endpoint. It holds credentials: its repr is masked and it does not pickle.

    Attributes:
        headers: names as they are written; Host and Content-Length are the sender's business.
        body: b"" for none.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def __repr__(self) -> str:
        parts = urlsplit(self.url)
        return f"<TokenRequest {self.method} {parts.scheme}://{parts.hostname}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenRequest holds credentials and cannot be pickled")


@record
class TokenResponse:
    """What a token endpoint answered: at most LARGEST_ANSWER + 1 bytes of it need to be read.

    Attributes:
        headers: names in any case; a repeated header is joined by ", ".
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The value of a header, or ""."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    def __repr__(self) -> str:
        return f"<TokenResponse {self.status}, {len(self.body)} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenResponse holds credentials and cannot be pickled")


Renewal = Generator[TokenRequest, TokenResponse, dict[str, Any]]


class TokenRefused(Exception):
    """The token endpoint said no, and would say so again. It holds no credential.

    Attributes:
        word: the error word of RFC 6749 section 5.2 or the provider's own, such as invalid_grant; "" if none.
        ends_connection: the user's grant or login is what was refused, so only the user can mend it by
            connecting again. False when the application's own settings were refused.
        status: the HTTP status, 0 where nothing was sent.
    """

    def __init__(self, word: str, *, ends_connection: bool, status: int = 0, what: str = "") -> None:
        self.word = error_word(word)
        self.ends_connection = ends_connection
        self.status = status
        super().__init__(what or f"the token request was refused: {self.word or f'status {status}'}")


class TokenUnavailable(Exception):
    """No token now; the same request may succeed later. It holds no credential.

    Attributes:
        retry_after: seconds that the endpoint asked to wait, None if it did not say.
        status: the HTTP status, 0 where there was none.
    """

    def __init__(self, what: str, *, retry_after: float | None = None, status: int = 0) -> None:
        self.retry_after = retry_after
        self.status = status
        super().__init__(what)


def error_word(text: Any) -> str:
    """The text if it is a word that may be shown and logged, else ""."""
    return text if isinstance(text, str) and _ERROR_WORD.fullmatch(text) else ""


@record
class TokenContext:
    """All that a renewal knows. It holds credentials: its repr is masked and it does not pickle.

    Attributes:
        settings: the merged `auth:` block.
        credentials: the connection's stored credentials, as plain values.
        app: oauth_client_id, oauth_client_secret, app_api_key (those that are set), as plain texts.
        scopes: the integration's `oauth_scopes`.
        variables: every template variable of the connection, as for its requests.
        now: unix seconds.
        place: what an error names: "integration/user".
        requests: the integration's request settings: the hosts that its users name, and its proxy.
    """

    settings: Mapping[str, Any] = field(repr=False)
    credentials: Mapping[str, Any] = field(repr=False)
    app: Mapping[str, str] = field(repr=False)
    scopes: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    now: float = 0.0
    place: str = ""
    requests: RequestSettings | None = field(default=None, repr=False)

    def text(self, key: str, default: str = "") -> str:
        """A setting that is no template, as text."""
        value = self.settings.get(key)
        return str.__str__(value) if isinstance(value, str) else default

    def number(self, key: str) -> float | None:
        """A setting that is a number, or None."""
        value = self.settings.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def app_text(self, name: str) -> str:
        """One of the application's own values, or ""."""
        value = self.app.get(name)
        return str.__str__(value) if isinstance(value, str) else ""

    def render(self, template: str, where: str, extra: Mapping[str, Any] | None = None) -> str:
        """The template's text for this connection.

        Args:
            template: a text of `settings`.
            where: the key it stands under, for the error.
            extra: variables laid over the connection's.

        Raises:
            ConfigError: a variable has no value.
        """
        problem: TemplateProblem
        try:
            return compile_template(template).render({**self.variables, **(extra or {})})
        except TemplateProblem as found:
            problem = found.with_traceback(None)
        raise self._problem(problem, where)

    def rendered(
        self, values: Mapping[str, Any] | None, where: str, extra: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A mapping of the settings with its templates rendered, at any depth; numbers stay numbers."""
        return {key: self._value(value, f"{where}.{key}", extra) for key, value in (values or {}).items()}

    def headers(
        self, values: Mapping[str, Any] | None, where: str, extra: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Headers of the settings, rendered and safe to be sent (RFC 9110 5.5)."""
        headers = self.rendered(values, where, extra)
        problem: TemplateProblem
        try:
            for name, value in headers.items():
                check_header_name(name)
                check_header_value(value, name)
        except TemplateProblem as wrong:
            problem = wrong.with_traceback(None)
        else:
            return headers
        del headers, value
        raise self._problem(problem, where)

    def _value(self, value: Any, where: str, extra: Mapping[str, Any] | None) -> Any:
        if isinstance(value, str):
            return self.render(value, where, extra)
        if isinstance(value, Mapping):
            return self.rendered(value, where, extra)
        if isinstance(value, list | tuple):
            return [self._value(item, where, extra) for item in value]
        return value

    def url(self, key: str, template: str | None = None, extra: Mapping[str, Any] | None = None) -> str:
        """A URL of the settings: values are one DNS label in the host and percent-encoded behind it.

        A field that `connection_config` declares as a host may be the whole host.

        Raises:
            ConfigError: the URL is missing, or a value does not fit its place.
        """
        text = self.settings.get(key) if template is None else template
        if not isinstance(text, str) or not text:
            raise self._problem(TemplateProblem("E208", "is missing"), key)
        problem: TemplateProblem
        try:
            hosts = None if self.requests is None else self.requests.user_hosts
            fields = {} if hosts is None else hosts.fields
            return _rendered_url(text, {**self.variables, **(extra or {})}, fields)
        except TemplateProblem as found:
            problem = found.with_traceback(None)
        raise self._problem(problem, key)

    def missing(self, what: str) -> ConfigError:
        """The error to raise when a setting or credential that the mode needs is not there."""
        return self._problem(TemplateProblem("E208", what), "")

    def _problem(self, found: TemplateProblem, where: str) -> ConfigError:
        what = " ".join(part for part in (f"auth.{where}" if where else "", found.what) if part)
        return ConfigError([Problem(Position(self.place), found.code, what, found.expected, found.help)])

    def __repr__(self) -> str:
        return f"<TokenContext of {self.place}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenContext holds credentials and cannot be pickled")


def _rendered_url(text: str, variables: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    template = compile_template(text)
    if template.is_constant:
        return template.render(variables)
    head, mark, query = "", "", ""
    for part, name in template.render_parts(variables):
        if mark:
            query += percent_encoded(part, name) if name else part
        elif not name and "?" in part:
            mark, query = "?", part.partition("?")[2]
    if mark and type(text) is str:
        head = text.partition("?")[0]
        return render_url(compile_template(head), variables, fields) + mark + query
    return render_url(template, variables, fields)
