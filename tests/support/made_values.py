"""Integrations, connections and responses for tests of the engine, made without files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from requests.structures import CaseInsensitiveDict

from nango_py.config.endpoints import Endpoints
from nango_py.config.idempotency import Idempotency, idempotency_of
from nango_py.config.model import Integration, RequestSettings, Status, UserHosts
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.variables import find_secret_names, variable_names
from nango_py.config.values import freeze
from nango_py.config.yaml.merge import origins_of_places
from nango_py.connections.connection import Connection
from nango_py.engine.bound_settings import BoundRequestSettings
from nango_py.engine.call_arguments import Call
from nango_py.engine.plan import make_plan
from nango_py.record import replaced
from nango_py.secret import Secret, conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.engine.plan import Plan

KEY = "pk_live_0123456789abcdef"


def an_integration(
    base_url: str = "https://api.example.test/v1/",
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    auth_mode: str = "API_KEY",
    name: str = "shop",
    app: Mapping[str, str] | None = None,
    total_seconds: float = 30.0,
    connect_seconds: float = 5.0,
    read_seconds: float = 30.0,
    allowed_hosts: tuple[str, ...] = (),
    max_response_bytes: int = 50 * 2**20,
    log_level: str | None = None,
    status: Status | None = None,
    user_hosts: UserHosts | None = None,
    proxy: Secret | None = None,
    graphql_path: str = "graphql",
    **settings: Any,
) -> Integration:
    """An integration whose key goes into `Authorization`, unless headers or params say otherwise."""
    if headers is None and params is None:
        headers = {"Authorization": "Key ${api_key}"}
    return Integration(
        name=name,
        blueprint="shop:v1",
        title="Shop",
        auth_mode=auth_mode,
        settings=freeze(settings),
        origins=origins_of_places(()),
        requests=RequestSettings(
            base_url=compile_template(base_url),
            headers=tuple((key, compile_template(text)) for key, text in (headers or {}).items()),
            params=tuple((key, compile_template(text)) for key, text in (params or {}).items()),
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            total_seconds=total_seconds,
            allow_http=True,
            allowed_hosts=allowed_hosts,
            max_response_bytes=max_response_bytes,
            idempotency=idempotency_of(settings.get("retries")),
            user_hosts=user_hosts,
            proxy=proxy,
            graphql_path=graphql_path,
            endpoints=Endpoints(settings.get("endpoints", ())),
        ),
        status=status or Status(),
        log_level=log_level,
        app_variables={key: Secret(text) for key, text in (app or {}).items()},
        oauth_scopes=(),
        names=variable_names(auth_mode),
        secret_names=find_secret_names(auth_mode, {}, ()),
    )


def a_connection(
    credentials: Mapping[str, Any] | None = None,
    *,
    user_id: str = "user-1",
    additional_config: Mapping[str, Any] | None = None,
    integration: str = "shop",
    uuid: str = "00000000-0000-4000-8000-000000000001",
    generation: int = 1,
) -> Connection:
    """A connection as the store returns it."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    return Connection(
        uuid=uuid,
        integration=integration,
        user_id=user_id,
        credentials=freeze(conceal(dict(credentials or {"api_key": KEY}))),
        additional_config=freeze(dict(additional_config or {})),
        date_created=moment,
        last_modified=moment,
        generation=generation,
        status="active",
    )


def bound_settings(
    integration: Integration | None = None, connection: Connection | None = None
) -> BoundRequestSettings:
    """The settings of an integration, rendered for a connection."""
    return BoundRequestSettings(integration or an_integration(), connection or a_connection())


def a_plan(
    method: str = "GET",
    path: str = "things",
    *,
    settings: BoundRequestSettings | None = None,
    idempotency_header: str = "",
    **options: Any,
) -> Plan:
    """The plan of a call."""
    settings = settings or bound_settings()
    if idempotency_header:
        key = Idempotency("header", idempotency_header)
        requests = replaced(settings.integration.requests, idempotency=key)
        integration = replaced(settings.integration, requests=requests)
        settings = BoundRequestSettings(integration, settings.connection)
    return make_plan(Call(method, path, **options), settings)


class FakeResponse:
    """The part of a response that calls and paginators use."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None, body: Any = None) -> None:
        self.status_code = status
        self.headers = CaseInsensitiveDict(headers or {})
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.attempts: tuple[Any, ...] = ()
        self.raw = self
        self.hint = ""
        self.get_state: Any = None

    @property
    def content_type(self) -> str:
        """The header Content-Type, or ""."""
        return self.headers.get("Content-Type", "")

    @property
    def state(self) -> Any:
        """Where to go on after a page."""
        return self.get_state()

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)
