"""Makes the values that calls use from merged and checked settings: `requests:` and `config:`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.endpoints import Endpoints
from nango_py.config.idempotency import idempotency_of
from nango_py.config.model import Config, RequestSettings
from nango_py.config.urls.hosts import origin_of, user_hosts
from nango_py.config.urls.proxy import get_proxy
from nango_py.record import field_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from nango_py.config.template.compiled import Template
    from nango_py.config.template_checks import Compiled
    from nango_py.json_types import Settings

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
MAX_RESPONSE_BYTES = 52_428_800
_SQLITE = "sqlite:///"


def with_integrations_key(source: Settings) -> Settings:
    """The mapping with its `integrations:` key, which is optional in Python."""
    is_whole = "integrations" in source and all(
        key in {"integrations", "config"} or str(key).startswith("x-") for key in source
    )
    return source if is_whole else {"integrations": source}


def request_settings(settings: Settings, compiled: Compiled, config: Config) -> RequestSettings:
    """The `requests:` block of an integration with its defaults.

    `http_request_timeout_seconds` limits a whole attempt, so it also lowers the other timeouts.

    Args:
        settings: the merged settings of the integration.
        compiled: its templates.
        config: has the default timeout.
    """
    requests = settings["requests"]
    total = float(settings.get("http_request_timeout_seconds", config.default_http_request_timeout_seconds))
    timeouts = requests.get("timeout_seconds", {})
    base_url, bases = compiled["requests", "base_url"], tuple(_templates(compiled, "bases", requests))
    all_bases = (base_url, *(template for _, template in bases))
    return RequestSettings(
        base_url=base_url,
        headers=tuple(_templates(compiled, "headers", requests)),
        params=tuple(_templates(compiled, "params", requests)),
        connect_seconds=min(float(timeouts.get("connect", CONNECT_SECONDS)), total),
        read_seconds=min(float(timeouts.get("read", READ_SECONDS)), total),
        total_seconds=total,
        allow_http=requests.get("allow_http", False),
        allowed_hosts=tuple(requests.get("allowed_hosts", ())),
        download_hosts=tuple(str(host).lower() for host in requests.get("download_hosts", ())),
        upload_hosts=tuple(str(host).lower() for host in requests.get("upload_hosts", ())),
        allowed_networks=tuple(map(str.__str__, requests.get("allowed_networks", ()))),
        max_response_bytes=requests.get("max_response_bytes", MAX_RESPONSE_BYTES),
        body=tuple(
            (name, compiled["requests", "body", name] if isinstance(value, str) else value)
            for name, value in requests.get("body", {}).items()
        ),
        body_format=str(requests.get("body_format", "json")),
        idempotency=idempotency_of(settings.get("retries")),
        bases=bases,
        endpoints=Endpoints(settings.get("endpoints", ()), compiled),
        graphql_path=str(requests.get("graphql_path", "graphql")),
        user_hosts=user_hosts(settings, all_bases) if settings.get("connection_config") else None,
        proxy=get_proxy(requests, config),
    )


def _templates(compiled: Compiled, block: str, requests: Settings) -> Iterator[tuple[str, Template]]:
    for name in requests.get(block, {}):
        yield name, compiled["requests", block, name]


def read_config(written: Settings, folder: FilePath | None) -> Config:
    """The `config:` block with its defaults and absolute paths.

    Args:
        written: the block.
        folder: the folder that paths are relative to; None is the working folder.
    """
    values = {name: _reveal_all(written[name]) for name in _CONFIG_NAMES if written.get(name) is not None}
    if "database_url" in values:
        values["database_url"] = _database_url(values["database_url"], folder)
    if "blueprint_paths" in values:
        values["blueprint_paths"] = tuple(_absolute(path, folder) for path in values["blueprint_paths"])
    if "actions" in values:
        values["actions"] = tuple(
            _absolute(name, folder) if "/" in name or "\\" in name else name for name in values["actions"]
        )
    if "product_logo" in values:
        values["product_logo"] = _absolute(values["product_logo"], folder)
    values["connect_origins"] = tuple(map(origin_of, values.get("connect_origins", ())))
    values["connect_hosts"] = tuple(values.get("connect_hosts", ()))
    return Config(**values)


_CONFIG_NAMES = field_names(Config)


def _reveal_all(value: Any) -> Any:
    """The value with values of the environment as plain text, since paths and URLs are used as such."""
    if isinstance(value, str):
        return str.__str__(value)
    return [_reveal_all(item) for item in value] if isinstance(value, list | tuple) else value


def _database_url(url: str, folder: FilePath | None) -> str:
    path, mark, query = url.removeprefix(_SQLITE).partition("?")
    if not url.startswith(_SQLITE) or not path or path.startswith(":"):
        return url
    return _SQLITE + _absolute(path, folder) + mark + query


def _absolute(path: str, folder: FilePath | None) -> str:
    from pathlib import Path

    return str(((folder or Path()) / path).absolute())
