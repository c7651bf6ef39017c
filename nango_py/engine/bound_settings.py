"""The request settings of an integration, rendered for one connection: base URL, headers and parameters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

from nango_py._version import __version__
from nango_py.auth.base import AuthMode, mode_of
from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.endpoints import DEFAULT
from nango_py.config.request_match import value_at
from nango_py.config.schema.additional_config import required_defaults
from nango_py.config.template.compiled import Template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import render_header
from nango_py.config.template.variables import VARYING_NAMES
from nango_py.config.urls.base_url import render_url
from nango_py.config.urls.host_tables import chosen_hosts
from nango_py.config.urls.links import PLAIN_LINK
from nango_py.config.urls.paths import DEFAULT_PORTS
from nango_py.connections.connection import NEEDS_CHOICE
from nango_py.engine.client_certificates import certificate_of
from nango_py.engine.request_body import BodyField
from nango_py.errors import ConfigError, CredentialsError, Position, Problem, printable
from nango_py.secret import MASK, reveal, secret_leaves, strip_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nango_py.clock import Clock
    from nango_py.config.endpoints import EndpointSettings, Named
    from nango_py.config.model import Integration, UserHosts
    from nango_py.connections.connection import Connection
    from nango_py.engine.request_encoding import Pairs
    from nango_py.json_types import Settings
    from nango_py.secret import Secret
    from nango_py.transport.addresses import Guard
    from nango_py.transport.proxy_tunnel import Proxy

    Fields = tuple[tuple[str, Template | str | float], ...]
    """Body fields by dotted path."""

DEFAULT_HEADERS = {
    "user-agent": ("User-Agent", f"nango_py/{__version__}"),
    "accept-encoding": ("Accept-Encoding", "gzip, deflate"),
    "accept": ("Accept", "*/*"),
}
KEPT_FOR_DOWNLOADS = (
    "_clock", "_variables", "auth_settings", "base_url", "bases", "config", "connection", "guard",
    "integration", "proxy", "secrets",
)  # fmt: skip
"""What settings for `download_hosts` and `upload_hosts` have of those of the API; nothing of it is sent."""

HOST_PART = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
"""What the `*` of a host may stand for: no character that another reader of the URL could end the host at."""

Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    """Scheme, host and port of a URL: what credentials never leave (RFC 6454)."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


class BoundRequestSettings:
    """A connection's rendered request settings.

    They hold credentials: the repr is masked, and they cannot be pickled.

    Attributes:
        base_url: ends with a slash.
        bases: the URLs of `requests.bases` by name, each with a slash at its end; "" is base_url.
        origins: where this connection's credentials may be sent.
        headers: constant headers by lower-case name: (name as written, value).
        protected_headers: lower-case names of headers that hold a credential; a caller cannot replace them.
        pairs: the blueprint's query parameters that are the same in every request.
        protected_body: the dotted paths of body fields that hold a credential; a caller cannot replace them.
        protected_params: lower-case names of those that hold a credential.
        secrets: all texts to mask.
        config: the additional_config of the connection, with the defaults of required fields.
        mode: the auth mode, and `auth_settings` its block of YAML.
        client_certificate: what TLS connections present, or None.
        guard: the networks that the host may resolve to; None if the configuration names the host.
        proxy: the proxy for https, or None.
        needs_own_pool: whether there is a certificate, guard or proxy, so that sockets must not be shared.
        signer: the auth mode if it signs each attempt; None if the blueprint writes Authorization itself, as
            Trello's does.
        varies: whether two requests of the same call may differ.
    """

    __slots__ = (
        "_body", "_call_headers", "_call_params", "_clock", "_variables", "_varies", "auth_settings",
        "base_url", "bases", "client_certificate", "config", "connection", "guard", "headers",
        "integration", "mode", "needs_own_pool", "origins", "pairs", "protected_body", "protected_headers",
        "protected_params", "proxy", "secrets", "signer", "varies",
    )  # fmt: skip

    def __init__(self, integration: Integration, connection: Connection, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self.integration = integration
        self.connection = connection
        self.mode = mode_of(integration)
        self.client_certificate = certificate_of(self.mode, connection.credentials)
        self.auth_settings: Settings = integration.settings.get("auth", {})
        self.config = config_of(integration, connection)
        self._variables = template_variables(integration, connection)
        settings, secret = integration.requests, integration.secret_names
        hosts = settings.user_hosts
        self.guard = None if hosts is None or not hosts.in_base_url else guard_of(hosts, connection)
        self.proxy = None if settings.proxy is None else _open_proxy(settings.proxy)
        self.needs_own_pool = any((self.guard, self.proxy, self.client_certificate))
        fields: Mapping[str, str] = {} if hosts is None else hosts.fields
        self.base_url = self._base("requests.base_url", settings.base_url, fields)
        self.bases = {"": self.base_url}
        for name, template in settings.bases:
            self.bases[name] = self._base(f"requests.bases.{name}", template, fields)
        self.origins: frozenset[Origin] = _intern(_origins(self.bases.values(), settings.allowed_hosts))
        all_headers = (*settings.headers, *settings.endpoints.all_headers())
        all_params = (*settings.params, *settings.endpoints.all_params())
        self.protected_headers = _secret_names_of(all_headers, secret)
        self.protected_params = _secret_names_of(all_params, secret)
        writes_own = any(name.lower() == "authorization" for name, _ in settings.headers)
        self.signer = self.mode if self.mode.signs and not writes_own else None
        if self.signer is not None or self.mode.answers_challenges:
            self.protected_headers = _intern(self.protected_headers | {"authorization"})
        self.headers = dict(DEFAULT_HEADERS)
        self._call_headers, headers = _split(settings.headers)
        for name, value in headers:
            self.headers[name.lower()] = (name, self._header(name, value, self._variables))
        self._call_params, params = _split(settings.params)
        self.pairs: Pairs = self._params(params, self._variables)
        self._bind_body(settings.body, secret)
        self._varies = bool(self._call_headers or self._call_params or settings.endpoints or self._body)
        self.varies = self._varies or settings.idempotency is not None
        self.secrets = self._all_secrets()

    def render(self, place: str, render: Callable[[], str]) -> str:
        """Render a setting.

        Raises:
            ConfigError: it does not fit this connection; no frame of the error holds a credential.
        """
        try:
            return render()
        except TemplateProblem as error:
            problem = error
        raise template_error(self.connection, place, problem)

    def _base(self, place: str, template: Template, fields: Mapping[str, str]) -> str:
        url = self.render(place, lambda: render_url(template, self._variables, fields))
        return url if url.endswith("/") else url + "/"

    def _header(self, name: str, template: Template, variables: Settings) -> str:
        return self.render(f"requests.headers.{name}", lambda: render_header(template, variables, name))

    def _param(self, name: str, template: Template, variables: Settings) -> str:
        return self.render(f"requests.params.{name}", lambda: template.render(variables))

    def _params(self, params: Iterable[tuple[str, Template]], variables: Settings) -> Pairs:
        """The rendered parameters; an empty one is left out if its template needs no value."""
        rendered = [(name, value, self._param(name, value, variables)) for name, value in params]
        return tuple((name, text) for name, value, text in rendered if text or value.needs_value)

    def _bind_body(self, fields: Fields, secret: frozenset[str]) -> None:
        """Keep the fields of bodies; all but those that differ from call to call are rendered once."""
        hidden = (
            name for name, value in fields if isinstance(value, Template) and value.shows_secret(secret)
        )
        self.protected_body: frozenset[str] = _intern(frozenset(hidden))
        self._body: Fields = tuple(
            (name, self._field(name, value, self._variables) if _is_constant(value) else value)
            for name, value in fields
        )

    def _field(self, name: str, value: Template | str | float, variables: Settings) -> str | float:
        if not isinstance(value, Template):
            return value
        return self.render(f"requests.body.{name}", lambda: value.render(variables))

    def _all_secrets(self) -> tuple[str, ...]:
        names = self.integration.secret_names - {"raw"}  # what is secret in it is among the leaves
        found = {name: value_at(self._variables, name) for name in names}
        secrets = {str(value) for name, value in found.items() if value}
        secrets |= {value for key, (_, value) in self.headers.items() if key in self.protected_headers}
        secrets |= {str(value) for name, value in self._body if name in self.protected_body}
        secrets |= set(self._endpoint_secrets())
        # "Bearer x" is masked as a whole and as its last word, whichever a text shows.
        secrets |= {value.rpartition(" ")[2] for value in tuple(secrets)}
        secrets |= {value for name, value in self.pairs if name.lower() in self.protected_params}
        shown = {field.name for field in self.integration.own_fields if not field.is_secret}
        credentials = reveal(self.connection.credentials)
        kept = {name: value for name, value in credentials.items() if name not in shown}
        secrets |= set(secret_leaves(kept, names))
        if self.proxy is not None:
            secrets |= set(self.proxy.secrets)
        return tuple(secrets)

    def _endpoint_secrets(self) -> Iterator[str]:
        """The values with a credential that are sent to some endpoints only."""
        endpoints, names = self.integration.requests.endpoints, self.integration.secret_names
        for _, template in (*endpoints.all_headers(), *endpoints.all_params()):
            if template.shows_secret(names):
                try:
                    yield template.render({**self._variables, **dict.fromkeys(VARYING_NAMES, "")})
                except TemplateProblem:
                    continue  # what cannot be rendered is not sent

    def variables_for(self, method: str, endpoint: str) -> Settings:
        """The template variables of one request.

        Args:
            method: of the request.
            endpoint: its path below the base URL.
        """
        return self.call_variables(method, endpoint) if self._varies else self._variables

    def call_variables(self, method: str, endpoint: str) -> Settings:
        """The same, with those of a call whether or not the blueprint's requests use them."""
        moment = {"now": int(self._clock.now()), "uuid": str(uuid4())}
        return {**self._variables, **moment, "method": method, "endpoint": endpoint, "path": endpoint}

    def headers_for(self, variables: Settings, own: EndpointSettings = DEFAULT) -> dict[str, tuple[str, str]]:
        """A copy of this connection's headers for one request, by lower-case name.

        Args:
            variables: those of the request.
            own: what the blueprint says of its endpoint.
        """
        headers = self.headers.copy()
        for name, template in (*self._call_headers, *own.headers):
            headers[name.lower()] = (name, self._header(name, template, variables))
        return headers

    def pairs_for(self, variables: Settings, own: EndpointSettings = DEFAULT) -> Pairs:
        """The blueprint's query parameters for one request; arguments as in `headers_for`."""
        if not own.params and not self._call_params:
            return self.pairs
        varying = {**dict(self._call_params), **dict(own.params)}
        kept = tuple(pair for pair in self.pairs if pair[0] not in varying)
        return kept + self._params(varying.items(), variables)

    def body_for(self, variables: Settings) -> tuple[BodyField, ...]:
        """The fields of the body of one request."""
        return tuple(
            BodyField(name, self._field(name, value, variables), name in self.protected_body)
            for name, value in self._body
        )

    def variables(self) -> Settings:
        """The template variables of this connection, for the keys of budgets. They hold credentials."""
        return self._variables

    def reach(self, base: str, target: str) -> str | None:
        """The absolute URL of a link; None if the credentials must not be sent there.

        Args:
            base: a URL without a query that these settings were used for.
            target: a link or a Location.
        """
        # Most links to a next page are the same URL with another query: there is nothing to check.
        if target.startswith(base) and target[len(base) : len(base) + 1] == "?" and target.isprintable():
            return target
        if base in self.bases.values() and PLAIN_LINK.fullmatch(target):
            return base + target
        try:
            url = urljoin(base, target)
            is_allowed = urlsplit(url).username is None and origin_of(url) in self.origins
        except ValueError:  # not a URL
            return None
        return url if is_allowed else None

    def reach_download(self, base: str, target: str) -> str | None:
        """The absolute URL of a Location on one of `download_hosts`; None if it leads elsewhere.

        Args:
            base: the URL that redirects.
            target: its Location.
        """
        return self._reach_listed(base, target, self.integration.requests.download_hosts)

    def reach_upload(self, base: str, target: str) -> str | None:
        """The URL for the pieces of an upload on one of `upload_hosts`; arguments as in `reach_download`."""
        return self._reach_listed(base, target, self.integration.requests.upload_hosts)

    def _reach_listed(self, base: str, target: str, hosts: tuple[str, ...]) -> str | None:
        try:
            url = urljoin(base, target).partition("#")[0]
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # not a URL
            return None
        is_secure = parts.scheme == "https" or (parts.scheme == "http" and self.base_url.startswith("http:"))
        if parts.username is not None or not is_secure:
            return None
        place = host if port in {None, DEFAULT_PORTS[parts.scheme]} else f"{host}:{port}"
        is_listed = any(
            place.endswith(name[1:]) and HOST_PART.fullmatch(place.removesuffix(name[1:]))
            if name.startswith("*")
            else place == name
            for name in hosts
        )
        return url if is_listed else None

    def without_credentials(self) -> BoundRequestSettings:
        """The same settings for a host that is not the API's: without header, parameter and signature."""
        settings = object.__new__(BoundRequestSettings)
        nothing: frozenset[Any] = frozenset()
        bare: dict[str, object] = {
            "_body": (), "_call_headers": (), "_call_params": (), "_varies": False, "varies": False,
            "client_certificate": None, "headers": DEFAULT_HEADERS, "mode": AuthMode(), "origins": nothing,
            "pairs": (), "protected_body": nothing, "protected_headers": nothing,
            "protected_params": nothing, "signer": None,
            "needs_own_pool": self.guard is not None or self.proxy is not None,
        }  # fmt: skip
        for name in KEPT_FOR_DOWNLOADS:
            setattr(settings, name, getattr(self, name))
        for name, value in bare.items():
            setattr(settings, name, value)
        return settings

    @property
    def sends_credentials(self) -> bool:
        """Whether requests carry a credential of the connection or of the product."""
        return (
            bool(self.protected_headers or self.protected_params)
            or self.signer is not None
            or self.client_certificate is not None
            or any(url != self.masked_base(name) for name, url in self.bases.items())
        )

    def masked_base(self, name: str = "") -> str:
        """base_url, or the base of that name, with credentials shown as `***`."""
        requests = self.integration.requests
        template = dict(requests.bases)[name] if name else requests.base_url
        if not template.shows_secret(self.integration.secret_names):
            return self.bases[name]
        shown = template.mask(self._variables, self.integration.secret_names)
        return shown if shown.endswith("/") else shown + "/"

    def base_of(self, url: str) -> str:
        """The name of the base that a URL lies below, the longest if there are several; "" by default."""
        found = [name for name, base in self.bases.items() if url.startswith(base)]
        return max(found, key=lambda name: len(self.bases[name]), default="")

    def shown_base_of(self, url: str) -> tuple[str, str]:
        """Name and masked URL of the base that a library's URL lies below; those of base_url by default."""
        shown = {name: self.masked_base(name) for name in self.bases}
        found = [name for name, base in shown.items() if url.startswith(base)]
        name = max(found, key=lambda name: len(shown[name]), default="")
        return name, shown[name]

    def masked_header(self, name: str, own: EndpointSettings = DEFAULT) -> str:
        """A protected header's value with only its credential masked: `Klaviyo-API-Key ***`."""
        for written, template in (*own.headers, *self.integration.requests.headers):
            if written.lower() == name.lower():
                variables = {**self._variables, **dict.fromkeys(VARYING_NAMES, "")}
                return template.mask(variables, self.integration.secret_names)
        return MASK

    def __repr__(self) -> str:
        return f"<BoundRequestSettings of {self.connection!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("BoundRequestSettings holds credentials and cannot be pickled")


def connection_label(connection: Connection) -> str:
    """The connection in a message: "integration/user"."""
    return f"{connection.integration}/{printable(connection.user_id)}"


def template_error(connection: Connection, place: str, problem: TemplateProblem) -> ConfigError:
    """The error for a setting that does not fit a connection."""
    position, what = Position(connection_label(connection)), f"{place}: {problem.what}"
    return ConfigError([Problem(position, problem.code, what, problem.expected, problem.help)])


def guard_of(hosts: UserHosts, connection: Connection) -> Guard:
    """The networks that the hosts named by this connection may resolve to."""
    from nango_py.transport.addresses import Guard

    return Guard(hosts.networks, connection_label(connection))


def _open_proxy(url: Secret) -> Proxy | None:
    from nango_py.transport.proxy_tunnel import open_proxy

    return open_proxy(url)


def _origins(bases: Iterable[str], allowed_hosts: tuple[str, ...]) -> frozenset[Origin]:
    own = [origin_of(base) for base in bases]
    scheme, _, port = own[0]
    others = (
        origin_of(f"{scheme}://{host}") if ":" in host else (scheme, host, port) for host in allowed_hosts
    )
    return frozenset({*own, *others})


def _secret_names_of(named: Named, secret: frozenset[str]) -> frozenset[str]:
    """The lower-case names of the headers or parameters that hold a credential."""
    return _intern(frozenset(name.lower() for name, value in named if value.shows_secret(secret)))


@lru_cache(maxsize=1024)
def _intern(elements: frozenset[Any]) -> frozenset[Any]:
    """One object for equal sets: ten thousand connections of an integration have equal ones."""
    return elements


def _split(named: Named) -> tuple[Named, Named]:
    """The templates that differ from call to call, and the others."""
    varying = tuple(one for one in named if not VARYING_NAMES.isdisjoint(one[1].names))
    return (varying, tuple(one for one in named if one not in varying)) if varying else ((), named)


def _is_constant(value: Template | str | float) -> bool:
    return not isinstance(value, Template) or VARYING_NAMES.isdisjoint(value.names)


def bind_settings(
    integration: Integration, connection: Connection, clock: Clock = SYSTEM_CLOCK
) -> BoundRequestSettings:
    """The request settings of a connection.

    Raises:
        ConfigError: a setting of the connection does not fit the blueprint's templates.
        CredentialsError: an account has to be chosen first.
    """
    if connection.status == NEEDS_CHOICE:
        raise _choice_error(integration, connection)
    try:
        return BoundRequestSettings(integration, connection, clock)
    except BaseException as error:  # noqa: BLE001 - raised again
        # The frames that rendered hold credentials, and error trackers print what frames hold.
        failure = strip_all(error)
    if isinstance(failure, UnicodeError):  # it holds the text; stored by an earlier version
        what = "a stored value contains half of a surrogate pair; register the connection again"
        failure = CredentialsError(
            f"{connection_label(connection)}: {what}",
            integration=connection.integration,
            user_id=connection.user_id,
        )
    raise failure


def _choice_error(integration: Integration, connection: Connection) -> CredentialsError:
    from nango_py.protocols.after_login import kept_names

    names = [
        name for name in kept_names(integration.settings["auth"]) if name not in connection.additional_config
    ]
    what = f"{names[0]} has to be chosen" if names else "an account has to be chosen"
    return CredentialsError(
        f"{connection_label(connection)}: {what} first; use nango.logins.choose()",
        integration=connection.integration,
        user_id=connection.user_id,
    )


def config_of(integration: Integration, connection: Connection) -> Settings:
    """The additional_config of a connection; it may be older than a required setting of the blueprint."""
    defaults = required_defaults(integration.settings.get("connection_config") or {})
    return {**defaults, **connection.additional_config}


def template_variables(integration: Integration, connection: Connection) -> dict[str, object]:
    """Every template variable of a connection, by the names of docs/blueprints.md."""
    credentials = reveal(connection.credentials)
    mode = mode_of(integration)
    variables: dict[str, object] = {
        **reveal(integration.app_variables),
        "app": reveal(integration.app_credentials),
        **mode.variables_of(credentials),
        "additional_config": config_of(integration, connection),
        "raw": credentials.get("raw", {}),
        "user_id": connection.user_id,
        "integration": integration.name,
    }
    tables = integration.settings.get("hosts")
    if tables:
        variables["hosts"] = chosen_hosts(tables, variables)
    return variables
