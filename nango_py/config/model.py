"""The frozen values of a configuration. None of them holds a user's credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.endpoints import Endpoints
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path as FilePath

    from nango_py.config.idempotency import Idempotency
    from nango_py.config.template.compiled import Template
    from nango_py.config.yaml.merge import Origins
    from nango_py.errors import Position, Problem
    from nango_py.json_types import Settings
    from nango_py.secret import Secret


@record
class Status:
    """The life cycle of a blueprint's API version; dates are ISO text as written."""

    released: str | None = None
    deprecated_on: str | None = None
    retires_on: str | None = None
    migrate_to: str | None = None


@record
class Change:
    """An announced change of an API.

    Attributes:
        position: where a blueprint states it.
        on: the day, as ISO text.
        what: what the API changes, as a sentence.
        affects: the paths of the keys that the change concerns.
        url: the page that announces it.
        then: what to do, as a sentence, or "".
    """

    position: Position
    on: str
    what: str
    affects: tuple[str, ...]
    url: str
    then: str


@record
class Blueprint:
    """The checked description of one API, merged with the blueprints that it extends.

    Attributes:
        settings: the merged tree, frozen; templates are text.
        origins: where each value of `settings` was written.
        layer: where the blueprint was found: "local", "path", "pack" or "shipped".
        login: the one of `logins` that `settings` has, or "".
        logins: the names of the blueprint's logins, the default first.
        changes: the announced changes of the API, also those that extended blueprints state, by date.
    """

    name: str
    version: str
    title: str
    source: FilePath
    layer: str
    settings: Settings
    origins: Origins
    status: Status = field(default_factory=Status)
    changes: tuple[Change, ...] = ()
    login: str = ""
    logins: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The `name:version` that integrations.yaml writes."""
        return f"{self.name}:{self.version}"


@record
class OwnField:
    """A credential that a blueprint adds to its auth mode.

    Attributes:
        title: the label on forms, or "".
        is_secret: whether its value is never shown.
        is_required: whether every connection needs it.
    """

    name: str
    title: str
    is_secret: bool
    is_required: bool


@record
class UserHosts:
    """The hosts that users of an integration name, such as that of a product that they host themselves.

    Attributes:
        fields: format ("host" or "origin") of each field that may be a whole host, by template name.
        networks: the private networks that such a host may resolve to.
        in_base_url: whether one of the fields is part of the base URL.
        in_auth: whether one of the fields is part of `auth:`, so that token requests may go there.
    """

    fields: Mapping[str, str]
    networks: tuple[str, ...] = ()
    in_base_url: bool = True
    in_auth: bool = False


@record
class RequestSettings:
    """The `requests:` block with its templates compiled.

    Attributes:
        bases: the other base URLs by name.
        download_hosts: hosts that redirects lead to without credentials, in lower case; `*.x` is all below x.
        allowed_networks: private networks that hosts which others name may resolve to.
        upload_hosts: hosts to which uploads send pieces of files without credentials, in the same form.
        headers: name as written, and template; names are unique ignoring case.
        connect_seconds: timeout for connecting.
        read_seconds: timeout for each read of the response.
        total_seconds: timeout for one attempt, from connecting to the last byte.
        body: the fields of every JSON object or form, by dotted path.
        body_format: json, form or bracketed_form.
        idempotency: where idempotency keys go; None if the API has none.
        endpoints: what differs for some requests.
        graphql_path: the path of the GraphQL endpoint.
        user_hosts: the hosts that users name; None if the files name all hosts.
        proxy: the URL of the proxy for https; None for direct connections.
    """

    base_url: Template
    headers: tuple[tuple[str, Template], ...]
    params: tuple[tuple[str, Template], ...]
    connect_seconds: float
    read_seconds: float
    total_seconds: float
    allow_http: bool
    allowed_hosts: tuple[str, ...]
    max_response_bytes: int
    body: tuple[tuple[str, Template | str | float], ...] = ()
    body_format: str = "json"
    idempotency: Idempotency | None = None
    bases: tuple[tuple[str, Template], ...] = ()
    endpoints: Endpoints = Endpoints()
    graphql_path: str = "graphql"
    user_hosts: UserHosts | None = None
    proxy: Secret | None = None
    download_hosts: tuple[str, ...] = ()
    upload_hosts: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()


@record
class Integration:
    """One entry of integrations.yaml merged over its blueprint, checked and frozen.

    Attributes:
        blueprint: `name:version`, or "" for an entry without a blueprint.
        settings: the merged tree, frozen. Other packages read their blocks from it
            (`rate_limits`, `retries`, `pagination`, `errors`, `verification`, `examples`, `gotchas`).
        origins: where each value of `settings` was written.
        app_variables: template variables that all connections share, if set:
            app_api_key, oauth_client_id, oauth_client_secret.
        app_credentials: what `app` gives, by name: `${app.NAME}`.
        own_fields: the credentials that `credentials` adds to the auth mode.
        names: the template variables of this integration.
        secret_names: the variables and credentials whose values are never shown.
    """

    name: str
    blueprint: str
    title: str
    auth_mode: str
    settings: Settings = field(repr=False)
    origins: Origins = field(repr=False)
    requests: RequestSettings
    status: Status
    log_level: str | None
    app_variables: Mapping[str, Secret]
    oauth_scopes: tuple[str, ...]
    names: frozenset[str]
    secret_names: frozenset[str]
    app_credentials: Mapping[str, Secret] = field(default_factory=dict)
    own_fields: tuple[OwnField, ...] = ()

    def __hash__(self) -> int:
        return hash((self.name, self.blueprint))


@record
class Config:
    """The `config:` block of integrations.yaml with its defaults."""

    default_http_request_timeout_seconds: float = 100.0
    token_timeout_seconds: float = 20.0
    default_action_log_level: str = ""
    rate_limit_store: str = field(default="memory", repr=False)
    database_url: str = field(default="", repr=False)
    proxy_url: str = field(default="", repr=False)
    oauth_server_root_url: str = "http://localhost:3003"
    connect_origins: tuple[str, ...] = ()
    connect_hosts: tuple[str, ...] = ()
    product_name: str = ""
    product_logo: str = ""
    product_color: str = ""
    support_url: str = ""
    blueprint_paths: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    jobs: Settings = field(default_factory=dict)


@record
class Configuration:
    """The integrations by name, and the `config:` block.

    Attributes:
        source: the file's name, or `Nango(integrations=...)`.
        warnings: problems that are not errors, such as a blueprint whose API is retired.
    """

    integrations: Mapping[str, Integration]
    config: Config
    source: str
    warnings: tuple[Problem, ...] = ()

    def __iter__(self) -> Iterator[Integration]:
        return iter(self.integrations.values())
