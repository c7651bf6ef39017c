"""Authenticated, paced and retried API calls for your users' accounts: one YAML file per API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nango_py._version import __version__
    from nango_py.client import Nango
    from nango_py.connections.connect_sessions import ConnectSession
    from nango_py.connections.connection import Connection
    from nango_py.engine.events import Event
    from nango_py.engine.executor import Executor
    from nango_py.engine.plan import Plan
    from nango_py.engine.verification import Verification
    from nango_py.errors import (
        ConfigError,
        ConnectFailed,
        ConnectionAlreadyExists,
        ConnectionNotFound,
        CredentialsError,
        DeadlineExceeded,
        InvalidRequest,
        NangoError,
        ProviderError,
        RateLimited,
        RequestFailed,
        StorageError,
        TamperError,
        TransportFailed,
        UnknownAction,
        UnknownBlueprint,
        UnknownIntegration,
    )
    from nango_py.sandbox import Sandbox
    from nango_py.secret import Secret
    from nango_py.transfer.report import ImportReport

_HOMES = {
    "ConfigError": "errors",
    "ConnectFailed": "errors",
    "ConnectSession": "connections.connect_sessions",
    "Connection": "connections.connection",
    "ConnectionAlreadyExists": "errors",
    "ConnectionNotFound": "errors",
    "CredentialsError": "errors",
    "DeadlineExceeded": "errors",
    "Event": "engine.events",
    "Executor": "engine.executor",
    "ImportReport": "transfer.report",
    "InvalidRequest": "errors",
    "Nango": "client",
    "NangoError": "errors",
    "Plan": "engine.plan",
    "ProviderError": "errors",
    "RateLimited": "errors",
    "RequestFailed": "errors",
    "Sandbox": "sandbox",
    "Secret": "secret",
    "StorageError": "errors",
    "TamperError": "errors",
    "TransportFailed": "errors",
    "UnknownAction": "errors",
    "UnknownBlueprint": "errors",
    "UnknownIntegration": "errors",
    "Verification": "engine.verification",
    "__version__": "_version",
}

__all__ = [
    "ConfigError",
    "ConnectFailed",
    "ConnectSession",
    "Connection",
    "ConnectionAlreadyExists",
    "ConnectionNotFound",
    "CredentialsError",
    "DeadlineExceeded",
    "Event",
    "Executor",
    "ImportReport",
    "InvalidRequest",
    "Nango",
    "NangoError",
    "Plan",
    "ProviderError",
    "RateLimited",
    "RequestFailed",
    "Sandbox",
    "Secret",
    "StorageError",
    "TamperError",
    "TransportFailed",
    "UnknownAction",
    "UnknownBlueprint",
    "UnknownIntegration",
    "Verification",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Names are fetched when first used, so that importing the package costs next to nothing.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
