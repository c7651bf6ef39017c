"""The method of `Nango` that serves tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.tools.methods import ToolMethods

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.mcp.asgi import Identify, ToolServer


class McpMethods(ToolMethods):
    """A base of `Nango`; importing it imports nothing else."""

    def mcp_app(
        self,
        identify: Identify,
        *,
        hosts: Iterable[str] = ("127.0.0.1", "localhost", "[::1]"),
        origins: Iterable[str] = (),
        path: str = "",
    ) -> ToolServer:
        """Tools for language models over HTTP, as an ASGI application to mount. Needs the extra `mcp`.

        Args:
            identify: returns the `toolbox` of the user whom a bearer token belongs to, or None to refuse it.
                It may be async.
            hosts: the names by which clients reach the server; other Host headers are refused.
            origins: the Origin headers of web pages that may use it.
            path: the only path that is served; by default any, because the routes of your application choose.

        Raises:
            NangoError: the SDK of the protocol is not installed.
        """
        from nango_py.mcp.opening import open_tool_server

        return open_tool_server(identify, hosts, origins, path)
