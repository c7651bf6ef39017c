"""Token requests, their responses, and how a token refresh can fail.

`AuthMode.refresh` is a generator: it yields a TokenRequest, receives the TokenResponse, and returns the
credentials to store. The caller provides the socket and the clock.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem, percent_encoded
from nango_py.config.template.headers import check_header_name, check_header_value
from nango_py.config.urls.base_url import render_url
from nango_py.errors import ConfigError, NangoError, Position, Problem
from nango_py.json_types import JsonObject
from nango_py.record import field, record
from nango_py.secret import Unpicklable, leaves, mask_secrets, secret_leaves

if TYPE_CHECKING:
    from typing import Any

    from nango_py.config.model import RequestSettings
    from nango_py.json_types import Credentials, Settings

    Variables = Mapping[str, object]

LARGEST_RESPONSE = 1_048_576
"""Maximum size of a token response in bytes; a transport need not read further."""

UNSPENT = frozenset({429, 503})
"""Statuses that prove that nothing was exchanged."""

_ERROR_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@record
class TokenRequest(Unpicklable):
    """One request to a token endpoint. It contains credentials: its repr is masked and it cannot be pickled.

    Attributes:
        headers: as they are sent, without Host and Content-Length.
        body: b"" for none.
        kept: credentials that earlier responses granted, to store if this request fails; {} for none.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    kept: JsonObject = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        parts = urlsplit(self.url)
        return f"<TokenRequest {self.method} {parts.scheme}://{parts.hostname}>"


@record
class TokenResponse(Unpicklable):
    """The response of a token endpoint; only LARGEST_RESPONSE + 1 bytes of the body need to be read.

    Attributes:
        headers: names in any case; the values of a repeated header are joined by ", ".
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The value of a header, or ""."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    def __repr__(self) -> str:
        return f"<TokenResponse {self.status}, {len(self.body)} bytes>"


TokenRefresh: TypeAlias = Generator[TokenRequest, TokenResponse, JsonObject]


class TokenRefused(Exception):
    """The token endpoint rejected the request permanently. Contains no credential.

    Attributes:
        code: the error code of RFC 6749 section 5.2 or the provider's own, such as invalid_grant; or "".
        ends_connection: the user's grant or login was rejected, so that the user has to connect again. False
            if the application's own settings were rejected.
        status: the HTTP status; 0 if nothing was sent.
        reason: code and description, for people; or the status.
        is_certain: False if the response does not say whose fault it is, such as a 401 without a body.
    """

    def __init__(
        self,
        code: str,
        *,
        ends_connection: bool,
        status: int = 0,
        what: str = "",
        description: str = "",
        is_certain: bool = True,
    ) -> None:
        self.code = error_code(code)
        self.ends_connection = ends_connection
        self.status = status
        self.is_certain = is_certain
        named = f"{self.code}: {description}" if self.code and description else self.code or description
        self.reason = what or named or f"status {status}"
        super().__init__(what or f"the token request was rejected: {self.reason}")

    def as_dead_grant(self) -> TokenRefused:
        """The same error as one that the user has to correct by connecting again."""
        return TokenRefused(self.code, ends_connection=True, status=self.status, what=self.reason)


class TokenUnavailable(Exception):
    """No token was returned; the same request may succeed later. Contains no credential.

    Attributes:
        retry_after: seconds to wait as requested by the endpoint, or None.
        status: the HTTP status; 0 if there was no response.
        is_unspent: whether it is certain that nothing was exchanged, so that a refresh token that is valid
            once may be sent again: it was not sent, or the status is 429 or 503.
        is_lasting: whether the same request will not succeed soon, such as one to a host that is not allowed.
    """

    def __init__(
        self,
        what: str,
        *,
        retry_after: float | None = None,
        status: int = 0,
        is_unspent: bool = False,
        is_lasting: bool = False,
    ) -> None:
        self.retry_after = retry_after
        self.status = status
        self.is_unspent = is_unspent or status in UNSPENT
        self.is_lasting = is_lasting
        super().__init__(what)


SECRET_FREE_ERRORS = (NangoError, TokenRefused, TokenUnavailable)
"""Errors whose message and attributes contain no credential; only the frames that raise them do."""


def error_code(text: object) -> str:
    """The text if it is an error code that may be shown and logged, else ""."""
    return text if isinstance(text, str) and _ERROR_CODE.fullmatch(text) else ""


@record
class TokenContext(Unpicklable):
    """Everything that a token request depends on. It contains credentials: its repr is masked.

    Attributes:
        settings: the merged `auth:` section.
        credentials: the connection's stored credentials, as plain values.
        app: oauth_client_id, oauth_client_secret, app_api_key and `app.NAME`, as plain text, if they are set.
        scopes: the integration's `oauth_scopes`.
        variables: every template variable of the connection, as for its requests.
        now: unix seconds.
        place: "integration/user", for messages.
        requests: the integration's request settings: the hosts that users may name, and the proxy.
        secret_names: the variables and credentials whose values are never shown.
        raw_names: the members of `raw` that templates of the integration name.
        own_fields: the names of the credentials that the blueprint adds to the auth mode.
        sent_once: what only this request holds, such as a code and its verifier.
    """

    settings: Settings = field(repr=False)
    credentials: Credentials = field(repr=False)
    app: Mapping[str, str] = field(repr=False)
    scopes: tuple[str, ...] = ()
    variables: Variables = field(default_factory=dict, repr=False)
    now: float = 0.0
    place: str = ""
    requests: RequestSettings | None = field(default=None, repr=False)
    secret_names: frozenset[str] = frozenset()
    raw_names: frozenset[str] = frozenset()
    own_fields: tuple[str, ...] = ()
    sent_once: tuple[str, ...] = field(default=(), repr=False)

    def text(self, key: str, default: str = "") -> str:
        """A text setting that is not a template."""
        value = self.settings.get(key)
        return str.__str__(value) if isinstance(value, str) else default

    def number(self, key: str) -> float | None:
        """A number setting, or None."""
        value = self.settings.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def mask(self, text: str) -> str:
        """What a provider says, without the secrets that were sent to it."""
        return mask_secrets(text, self.secrets())

    def secrets(self) -> tuple[str, ...]:
        """The secrets of the connection, of the application and of the request."""
        return (*secret_leaves(self.credentials, self.secret_names), *leaves(self.app), *self.sent_once)

    def app_text(self, name: str) -> str:
        """One of the application's own values, or ""."""
        value = self.app.get(name)
        return str.__str__(value) if isinstance(value, str) else ""

    def render(self, template: str, where: str, extra: Variables | None = None) -> str:
        """Render a template with the variables of this connection.

        Args:
            template: a text of `settings`.
            where: its key, for the error.
            extra: variables that override the connection's.

        Raises:
            ConfigError: a variable has no value.
        """
        problem: TemplateProblem
        try:
            return compile_template(template).render({**self.variables, **(extra or {})})
        except TemplateProblem as error:
            problem = error.with_traceback(None)
        raise self._config_error(problem, where)

    def render_all(
        self, values: Settings | None, where: str, extra: Variables | None = None
    ) -> dict[str, Any]:
        """Render every template in a mapping of the settings, at any depth; numbers stay numbers."""
        return {
            key: self._render_value(value, f"{where}.{key}", extra) for key, value in (values or {}).items()
        }

    def render_headers(
        self, values: Settings | None, where: str, extra: Variables | None = None
    ) -> dict[str, str]:
        """Render headers of the settings and check that they can be sent (RFC 9110 5.5)."""
        headers = self.render_all(values, where, extra)
        problem: TemplateProblem
        try:
            for name, value in headers.items():
                check_header_name(name)
                check_header_value(value, name)
        except TemplateProblem as error:
            problem = error.with_traceback(None)
        else:
            return headers
        del headers, value
        raise self._config_error(problem, where)

    def _render_value(self, value: object, where: str, extra: Variables | None) -> object:
        if isinstance(value, str):
            return self.render(value, where, extra)
        if isinstance(value, Mapping):
            return self.render_all(value, where, extra)
        if isinstance(value, list | tuple):
            return [self._render_value(item, where, extra) for item in value]
        return value

    def url(self, key: str, template: object = None, extra: Variables | None = None) -> str:
        """Render a URL of the settings: values are one DNS label in the host and percent-encoded after it.

        A field that `connection_config` declares as a host may be the whole host.

        Raises:
            ConfigError: the URL is missing, or a value does not fit its position.
        """
        text = self.settings.get(key) if template is None else template
        if not isinstance(text, str) or not text:
            raise self._config_error(TemplateProblem("E208", "is missing"), key)
        problem: TemplateProblem
        try:
            hosts = None if self.requests is None else self.requests.user_hosts
            fields = {} if hosts is None else hosts.fields
            return _render_url(text, {**self.variables, **(extra or {})}, fields)
        except TemplateProblem as error:
            problem = error.with_traceback(None)
        raise self._config_error(problem, key)

    def missing_error(self, what: str) -> ConfigError:
        """The error for a missing setting or credential."""
        return self._config_error(TemplateProblem("E208", what), "")

    def _config_error(self, problem: TemplateProblem, where: str) -> ConfigError:
        what = " ".join(part for part in (f"auth.{where}" if where else "", problem.what) if part)
        return ConfigError(
            [Problem(Position(self.place), problem.code, what, problem.expected, problem.help)]
        )

    def __repr__(self) -> str:
        return f"<TokenContext of {self.place}>"


def _render_url(text: str, variables: Variables, host_fields: Mapping[str, str]) -> str:
    template = compile_template(text)
    if template.is_constant:
        return template.render(variables)
    mark, query = "", ""
    for part, name in template.render_parts(variables):
        if mark:
            query += percent_encoded(part, name) if name else part
        elif not name and "?" in part:
            mark, query = "?", part.partition("?")[2]
    if mark and type(text) is str:
        template = compile_template(text.partition("?")[0])
        return render_url(template, variables, host_fields) + mark + query
    return render_url(template, variables, host_fields)
