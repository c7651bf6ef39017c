"""The connect server, where users connect their accounts in a browser. Needs the extra `server`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import NangoError

if TYPE_CHECKING:
    from nango_py.accounts import Accounts
    from nango_py.server.asgi import ConnectServer


def open_connect_server(accounts: Accounts) -> ConnectServer:
    """The application, if Starlette is installed.

    Raises:
        NangoError: it is not.
        ConfigError: a file is invalid.
    """
    try:
        from nango_py.server.asgi import ConnectServer
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "anyio"}:
            raise
        raise NangoError("the connect server needs Starlette: pip install 'nango-py[server]'") from error
    return ConnectServer(accounts)
