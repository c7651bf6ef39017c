"""Opens servers of the tools, if the SDK of the protocol is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import NangoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from nango_py.mcp.asgi import Identify, ToolServer
    from nango_py.tools.toolbox import Toolbox

NEEDS = "tools by the Model Context Protocol need its SDK: pip install 'nango-py[mcp]'"


def open_tool_server(
    identify: Identify, hosts: Iterable[str], origins: Iterable[str], path: str
) -> ToolServer:
    """The ASGI application.

    Raises:
        NangoError: the SDK is not installed.
    """
    _import_sdk()
    from nango_py.mcp.asgi import ToolServer

    return ToolServer(identify, hosts, origins, path)


def serve_stdio(toolbox: Toolbox, close: Callable[[], Awaitable[None]]) -> None:
    """Serve one client over standard input and output, until the input ends.

    Args:
        toolbox: the tools.
        close: awaited at the end.

    Raises:
        NangoError: the SDK is not installed.
    """
    _import_sdk()
    from nango_py.mcp.sdk import run_stdio

    run_stdio(toolbox, close)


def _import_sdk() -> None:
    try:
        import nango_py.mcp.sdk  # noqa: F401 - whether it can be imported
    except ImportError as error:
        if (error.name or "").partition(".")[0].startswith("nango_py"):
            raise
    else:
        return
    raise NangoError(NEEDS)
