"""Authenticated, paced and retried API calls for your users' accounts: one YAML file per API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import (
    ActionFailed,
    ActionInputError,
    ConfigError,
    ConnectFailed,
    ConnectionAlreadyExists,
    ConnectionNotFound,
    CredentialsError,
    DeadlineExceeded,
    InvalidRequest,
    JobNotFound,
    NangoError,
    ProviderError,
    RateLimited,
    RequestFailed,
    StorageError,
    TamperError,
    TapeError,
    TransportFailed,
    UnknownAction,
    UnknownBlueprint,
    UnknownIntegration,
)

if TYPE_CHECKING:
    from nango_py._version import __version__
    from nango_py.actions.context import ActionContext, AsyncActionContext
    from nango_py.actions.definition import ActionInfo
    from nango_py.actions.registering import action
    from nango_py.attempt import Attempt
    from nango_py.client import Nango
    from nango_py.connections.connect_sessions import ConnectSession
    from nango_py.connections.connection import Connection
    from nango_py.engine.async_executor import AsyncExecutor
    from nango_py.engine.async_page_iterators import AsyncRecords
    from nango_py.engine.events import Event
    from nango_py.engine.executor import Executor
    from nango_py.engine.page_iterators import Records
    from nango_py.engine.plan import Plan
    from nango_py.engine.verification import Verification
    from nango_py.jobs.context import HandlerContext, JobCancelled, RetryAt
    from nango_py.jobs.job import Job
    from nango_py.jobs.outcome import is_retryable
    from nango_py.limits.limit_types import WindowView
    from nango_py.sandbox import Sandbox
    from nango_py.secret import Secret
    from nango_py.tools.outcomes import ToolResult
    from nango_py.tools.toolbox import Toolbox, ToolCall
    from nango_py.transfer.report import ImportReport
    from nango_py.transport.response import Response

_MODULES = {
    "ActionContext": "actions.context",
    "ActionInfo": "actions.definition",
    "AsyncActionContext": "actions.context",
    "AsyncExecutor": "engine.async_executor",
    "AsyncRecords": "engine.async_page_iterators",
    "Attempt": "attempt",
    "ConnectSession": "connections.connect_sessions",
    "Connection": "connections.connection",
    "Event": "engine.events",
    "Executor": "engine.executor",
    "HandlerContext": "jobs.context",
    "ImportReport": "transfer.report",
    "Job": "jobs.job",
    "JobCancelled": "jobs.context",
    "Nango": "client",
    "Plan": "engine.plan",
    "Records": "engine.page_iterators",
    "Response": "transport.response",
    "RetryAt": "jobs.context",
    "Sandbox": "sandbox",
    "Secret": "secret",
    "ToolCall": "tools.toolbox",
    "ToolResult": "tools.outcomes",
    "Toolbox": "tools.toolbox",
    "Verification": "engine.verification",
    "VirtualClock": "clock",
    "WindowView": "limits.limit_types",
    "__version__": "_version",
    "action": "actions.registering",
    "is_retryable": "jobs.outcome",
}

__all__ = [
    "ActionContext",
    "ActionFailed",
    "ActionInfo",
    "ActionInputError",
    "AsyncActionContext",
    "AsyncExecutor",
    "AsyncRecords",
    "Attempt",
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
    "HandlerContext",
    "ImportReport",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobNotFound",
    "Nango",
    "NangoError",
    "Plan",
    "ProviderError",
    "RateLimited",
    "Records",
    "RequestFailed",
    "Response",
    "RetryAt",
    "Sandbox",
    "Secret",
    "StorageError",
    "TamperError",
    "TapeError",
    "ToolCall",
    "ToolResult",
    "Toolbox",
    "TransportFailed",
    "UnknownAction",
    "UnknownBlueprint",
    "UnknownIntegration",
    "Verification",
    "VirtualClock",
    "WindowView",
    "__version__",
    "action",
    "is_retryable",
]


def __getattr__(name: str) -> object:
    # Classes are imported at their first use, to keep `import nango_py` fast.
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
