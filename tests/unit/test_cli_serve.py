"""`nango serve` and `nango connect-session`: output, errors and log."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from nango_py import Nango

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ["tests.support.cli_product"]
ROOT = Path(__file__).resolve().parents[2]


def with_root(product: Product, url: str) -> None:
    """Set the root URL of the connect server in integrations.yaml."""
    text = (product.folder / "integrations.yaml").read_text()
    product.write("integrations.yaml", f"{text}config:\n  oauth_server_root_url: {url}\n")


def test_connect_session_prints_a_link(product: Product) -> None:
    """The link has the session token in its fragment, limited to the named integrations."""
    ran = product.run("connect-session", "user-1", "--integration", "close", "--lifetime", "60")
    found = re.fullmatch(r"http://localhost:3003/connect#session=(\S+)\n", ran.out)
    assert found is not None
    with Nango(product.folder / "integrations.yaml") as nango:
        claims = nango.read_session(found[1])
    assert (claims.user_id, claims.integrations) == ("user-1", ("close",))


def test_connect_session_prints_json(product: Product) -> None:
    """--json prints the link with its user, integrations and expiry."""
    session = json.loads(product.run("connect-session", "user-1", "--json").out)
    assert session["url"].startswith("http://localhost:3003/connect#session=")
    assert session["integrations"] == ["klaviyo", "old", "close"]
    assert session.keys() == {"url", "user_id", "integrations", "expires_at"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["connect-session", "user-1", "--lifetime", "5"], "86400"),
        (["connect-session", "user-1", "--return-url", "http://acme.test/"], "https://"),
        (["connect-session", "user-1", "--language", "xx"], "'fr'"),
        (["connect-session", "user-1", "--integration", "closse"], 'did you mean "close"'),
        (["serve", "--host", "::"], "https://"),
        (["serve", "--host", "192.0.2.7"], "http://localhost:3003"),
        (["serve", "--port", "70000"], "70000"),
    ],
)
def test_invalid_arguments_are_usage_errors(product: Product, arguments: list[str], said: str) -> None:
    """Invalid arguments exit with code 2 before the server listens."""
    ran = product.run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_port_in_use_is_an_error(product: Product) -> None:
    """A second server on the same port exits with code 2 and names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = product.run("serve", "--port", port)
    assert ran.code == 2
    assert f"127.0.0.1 port {port}" in ran.err
    assert "oauth_server_root_url" in ran.err


def test_serve_runs_until_sigterm(product: Product) -> None:
    """`nango serve` prints a link, logs requests without their query, and reloads changed files."""
    command = [sys.executable, "-W", "error", "-m", "nango_py", "serve", "--port", "0", "--user", "user-1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=product.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        port = re.search(r"on 127\.0\.0\.1 port (\d+) ", first)
        token = re.search(r"for user-1, for 30 minutes: \S+#session=(\S+)", second)
        assert port is not None
        assert token is not None
        url = f"http://127.0.0.1:{port[1]}"
        bearer = {"Authorization": f"Bearer {token[1]}"}
        assert requests.get(f"{url}/connect?secret=hidden_query", timeout=20).status_code == 200

        def product_name() -> str:
            response = requests.get(f"{url}/connect/session", headers=bearer, timeout=20)
            return str(response.json()["product_name"])

        wrong = {"credentials": {"username": 5}}
        response = requests.post(f"{url}/connect/integrations/close", headers=bearer, json=wrong, timeout=20)
        assert response.status_code == 422
        assert product_name() == ""
        text = (product.folder / "integrations.yaml").read_text()
        product.write("integrations.yaml", f"{text}config:\n  product_name: Renamed\n")
        assert product_name() == "Renamed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
        log = process.stderr.read()
    assert re.search(r"^GET /connect 200 \d+ ms$", log, re.MULTILINE)
    assert "close user-1 connect_failed: invalid_credentials" in log
    assert log.count("connect_failed") == 1
    assert "hidden_query" not in log
    assert token[1][20:] not in log
    assert "another port" in log


def test_without_starlette_the_error_names_the_extra(product: Product, tmp_path: Path) -> None:
    """Only `nango serve` and `asgi_app()` need the extra `server`."""
    hidden = tmp_path / "hidden"
    (hidden / "starlette").mkdir(parents=True)
    (hidden / "starlette" / "__init__.py").write_text("raise ImportError('no starlette', name='starlette')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(hidden), str(ROOT)])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=product.folder, env=environment, capture_output=True, text=True, check=False
        )

    ran = run("-m", "nango_py", "serve")
    assert (ran.returncode, "pip install 'nango-py[server]'" in ran.stderr) == (2, True)
    ran = run("-c", "from nango_py import Nango; Nango().asgi_app()")
    assert "pip install 'nango-py[server]'" in ran.stderr
    assert run("-m", "nango_py", "connect-session", "user-1").returncode == 0
