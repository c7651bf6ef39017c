"""Logins on a desktop: `nango connections connect` on a real socket, with an HTTP client as the browser."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py import Nango
from nango_py.connect.local_browser import Listener, LoopbackRefused, parse_callback_url
from tests.support.fork_server import NANGO, Child, start
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.provider_server import query_of
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def free_port() -> int:
    """A port on which no program listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Desktop:
    """A folder with integrations.yaml, in which commands run."""

    folder: Path
    root_url: str

    def start(self, *arguments: str) -> Child:
        """`nango connections connect mail user-1` with more arguments, in a process."""
        environ = {"NANGO_ENCRYPTION_KEYS": ENCRYPTION_KEY, "PATH": "/usr/bin:/bin"}
        command = ("connections", "connect", "mail", "user-1", *arguments)
        return start(NANGO, *command, cwd=self.folder, env=environ)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, for one that ends by itself."""
        with self.start(*arguments) as child:
            out, err = child.communicate()
            return subprocess.CompletedProcess(arguments, child.wait(), out, err)

    @contextlib.contextmanager
    def connecting(self, *arguments: str) -> Iterator[tuple[Child, str]]:
        """The command while it waits, and the URL that it prints."""
        with self.start("--no-browser", *arguments) as waiting:
            yield waiting, waiting.stdout.readline().strip()

    def connections(self) -> list[dict[str, Any]]:
        """What is stored."""
        url = f"sqlite:///{self.folder}/.nango/nango.db"
        with Nango(
            self.folder / "integrations.yaml", database_url=url, encryption_keys=ENCRYPTION_KEY
        ) as nango:
            return nango.connections_for_integration("mail")


def a_desktop(folder: Path, entry: dict[str, Any], **config: Any) -> Desktop:
    """A product of one integration, `mail`; JSON is YAML too."""
    root_url = config.get("oauth_server_root_url") or f"http://localhost:{free_port()}"
    told = {"integrations": {"mail": entry}, "config": {**config, "oauth_server_root_url": root_url}}
    (folder / "integrations.yaml").write_text(json.dumps(told))
    return Desktop(folder, root_url)


@pytest.mark.parametrize("kind", [LoginProvider, LoginProvider1])
def test_a_user_logs_in_from_the_command_line(tmp_path: Path, kind: Any) -> None:
    """The URL is printed, the browser returns to this machine, the command ends and says so."""
    with kind() as provider:
        desktop = a_desktop(tmp_path, provider.entry())
        with desktop.connecting() as (waiting, url):
            back = consent(url)
            assert back.startswith(f"{desktop.root_url}/oauth/callback?")
            page = requests.get(back, timeout=20)
            out, err = waiting.communicate()
        assert (waiting.returncode, out) == (0, "connected mail/user-1\n"), err
        assert provider.exchanges() == ["granted"]
    assert page.status_code == 200
    assert "Connected" in page.text
    assert page.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "<script" not in page.text
    assert [row["user_id"] for row in desktop.connections()] == ["user-1"]
    shown = out + err + page.text
    assert all(value not in shown for name, value in query_of(back).items() if name != "iss")


def test_the_callback_port_can_be_chosen(tmp_path: Path) -> None:
    """With a public root URL `--redirect-url` names a URL on this machine."""
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry(), oauth_server_root_url="https://connect.example.test")
        given = "http://127.0.0.1:0/back"
        with desktop.connecting("--redirect-url", given) as (waiting, url):
            uri = query_of(url)["redirect_uri"]
            assert uri.startswith("http://127.0.0.1:")
            assert uri.endswith("/back")
            assert requests.get(consent(url), timeout=20).status_code == 200
            assert waiting.wait(60) == 0
        assert len(desktop.connections()) == 1


def test_a_declined_login_exits_with_1(tmp_path: Path) -> None:
    """Exit code 1, one line, nothing stored."""
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry())
        with desktop.connecting() as (waiting, url):
            page = requests.get(consent(url, "deny"), timeout=20)
            out, err = waiting.communicate()
    assert (waiting.returncode, out) == (1, "")
    assert "error: mail/user-1: access was not granted (access_denied); nothing was stored" in err
    assert (page.status_code, "Not connected" in page.text) == (400, True)
    assert desktop.connections() == []


def test_a_wrong_client_secret_is_explained_to_the_developer(tmp_path: Path) -> None:
    """The page says little; the terminal names the settings to check, and shows no secret."""
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry(oauth_client_secret="another_secret_0001"))
        with desktop.connecting() as (waiting, url):
            page = requests.get(consent(url), timeout=20)
            _, err = waiting.communicate()
    assert waiting.returncode == 1
    assert "invalid_client" in err
    assert "check oauth_client_id, oauth_client_secret" in err
    assert "oauth_client" not in page.text
    assert "another_secret" not in err + page.text
    assert desktop.connections() == []


def test_only_the_callback_of_the_login_ends_it(tmp_path: Path) -> None:
    """Other paths, hosts and states, repeated parameters, and silent clients do not."""
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry())
        callback = f"{desktop.root_url}/oauth/callback"
        with desktop.connecting() as (waiting, url), socket.socket() as silent:
            silent.connect(("127.0.0.1", int(desktop.root_url.rpartition(":")[2])))
            back = consent(url)
            state = query_of(url)["state"]
            for wrong, status in (
                (f"{desktop.root_url}/favicon.ico", 404),
                (callback, 400),
                (f"{callback}?state=<script>alert(1)</script>", 400),
                (f"{callback}?state={'x' * 43}&code=c", 400),
                (f"{back}&code=other", 400),
                (f"{callback}?{'a=1&' * 200}state={state}", 400),
            ):
                page = requests.get(wrong, timeout=20)
                assert page.status_code == status
                assert "<script" not in page.text
            rebound = requests.get(back, headers={"Host": "evil.example.test"}, timeout=20)
            assert rebound.status_code == 400
            assert requests.post(back, timeout=20).status_code == 501
            assert "python" not in rebound.headers["Server"].lower()
            assert requests.get(back, timeout=20).status_code == 200
            assert waiting.wait(60) == 0
        assert provider.exchanges() == ["granted"]


def test_provider_errors_are_text_on_the_page(tmp_path: Path) -> None:
    """Markup in an error is text."""
    with LoginProvider() as provider:
        provider.refusals.append({"error": "server<script>", "error_description": "<img src=x onerror=1>"})
        with a_desktop(tmp_path, provider.entry()).connecting() as (waiting, url):
            page = requests.get(consent(url), timeout=20)
            assert waiting.wait(60) == 1
    assert "&lt;img src=x onerror=1&gt;" in page.text
    assert "<img" not in page.text


def test_sigterm_waits_for_an_exchange_in_flight(tmp_path: Path) -> None:
    """A code is valid once: the connection is stored first, and then the signal ends the process."""
    with LoginProvider() as provider, ThreadPoolExecutor(1) as browser:
        desktop = a_desktop(tmp_path, provider.entry())
        with desktop.connecting() as (waiting, url):
            provider.gate.clear()
            visit = browser.submit(requests.get, consent(url), timeout=20)
            assert provider.arrived.acquire(timeout=60)
            waiting.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
            provider.gate.set()
            assert waiting.wait(60) == -signal.SIGTERM
            visit.exception(20)  # the page may have come, or not
    assert len(desktop.connections()) == 1


def test_the_wait_times_out(tmp_path: Path) -> None:
    """After the timeout nothing is stored, and the port is free again."""
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry())
        run = desktop.run("--no-browser", "--timeout", "1")
    assert run.returncode == 1
    assert "within 1 seconds" in run.stderr
    assert "nothing was stored" in run.stderr
    with socket.socket() as again:
        again.bind(("127.0.0.1", int(desktop.root_url.rpartition(":")[2])))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_reported(tmp_path: Path, address: str) -> None:
    """The provider is not contacted; the message says what to do."""
    with socket.create_server(
        (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
    ) as taken:
        port = taken.getsockname()[1]
        with LoginProvider() as provider:
            desktop = a_desktop(
                tmp_path, provider.entry(), oauth_server_root_url=f"http://localhost:{port}"
            )  # fmt: skip
            run = desktop.run("--no-browser")
            assert provider.authorizations == []
    assert run.returncode == 2
    assert f"port {port} is in use" in run.stderr
    assert "--redirect-url http://127.0.0.1:PORT/oauth/callback" in run.stderr


def test_a_public_root_url_is_reported(tmp_path: Path) -> None:
    """The callback would go to another machine."""
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry(), oauth_server_root_url="https://connect.example.test")
        run = desktop.run("--no-browser")
    assert run.returncode == 2
    assert "https://connect.example.test/oauth/callback" in run.stderr
    assert "--redirect-url" in run.stderr


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8000/", "http://evil.example.test/", "http://127.0.0.1.evil.example/", "x", "",
        "http://user@127.0.0.1:8000/", "http://0.0.0.0:8000/", "http://127.0.0.1:8000/?a=1", "http://[::1",
        "http://127.0.0.1:99999/", "http://127.0.0.1:8000/#a", "//127.0.0.1/",
    ],
)  # fmt: skip
def test_only_urls_on_this_machine_are_accepted(url: str) -> None:
    """Any other URL is refused by name."""
    with pytest.raises(LoopbackRefused):
        parse_callback_url(url, is_given=True)
    assert parse_callback_url("http://localhost:8000/oauth/callback", is_given=True)[1] == 8000


def test_the_cause_is_shown_to_the_developer(tmp_path: Path) -> None:
    """On the command line the cause is printed instead of the user's sentence."""
    with LoginProvider() as provider:
        entry = provider.entry({"authorization_params": {"a": "${additional_config.missing}"}})
        run = a_desktop(tmp_path, entry).run("--no-browser")
    assert run.returncode == 2
    assert "authorization_params.a" in run.stderr


def test_settings_are_validated_before_a_port_is_opened(tmp_path: Path) -> None:
    """--config holds the settings before the login; invalid ones are named."""
    schema = {"type": "object", "required": ["tenant"], "properties": {"tenant": {"type": "string"}}}
    with LoginProvider() as provider:
        desktop = a_desktop(tmp_path, provider.entry(connection_config=schema))
        run = desktop.run("--no-browser", "--config", "{}")
        assert (run.returncode, "tenant" in run.stderr) == (2, True)
        with desktop.connecting("--config", '{"tenant": "acme"}') as (waiting, url):
            assert requests.get(consent(url), timeout=20).status_code == 200
            assert waiting.wait(60) == 0
    assert desktop.connections()[0]["additional_config"] == {"tenant": "acme"}


def test_integrations_without_a_browser_login_ask_for_credentials(tmp_path: Path) -> None:
    """The command is the same for every integration; without a terminal it says what to use instead."""
    entry = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://api.example.test/"}}
    run = a_desktop(tmp_path, entry).run()
    assert run.returncode == 2
    assert "--credentials-file" in run.stderr


def test_both_addresses_of_localhost_are_served() -> None:
    """`localhost` may be either address, so both are served on one port."""
    listener = Listener(*parse_callback_url("http://localhost:0/back", is_given=True), None, "mail")  # type: ignore[arg-type]
    ports = {server.server_address[1] for server in listener._servers}
    for server in listener._servers:
        server.server_close()
    assert len(ports) == 1
    assert listener.url == f"http://localhost:{ports.pop()}/back"
