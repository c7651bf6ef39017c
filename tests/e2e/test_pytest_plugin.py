"""The pytest plugin: tests of a product without its APIs and without secrets."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.run_docs import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
integrations:
  klaviyo:
    extends_blueprint: klaviyo:v1
  chat:
    extends_blueprint: slack:v0
    oauth_client_id: ${SLACK_CLIENT_ID}
    oauth_client_secret: ${SLACK_CLIENT_SECRET}
  github:
    extends_blueprint: github-app:v0
    oauth_client_id: "1"
    oauth_client_secret: ${GITHUB_KEY | default("")}
  shop:
    extends_blueprint: shopify:v0
    oauth_client_id: a
    oauth_client_secret: ${SHOPIFY_SECRET}
config:
  database_url: ${DATABASE_URL}
  rate_limit_store: ${REDIS_URL}
  oauth_server_root_url: ${ROOT_URL}
"""
TESTS = '''
import asyncio
import sys

import pytest

from nango_py import VirtualClock


def test_every_integration_leads_to_its_sandbox(nango_sandbox):
    """Connections are made up, calls are accepted, and the ledger names the user."""
    for name, path in {"klaviyo": "metrics", "chat": "auth.test", "shop": "orders.json"}.items():
        nango_sandbox.connect(name, "ada")
        api = nango_sandbox.sandbox(name)
        api.respond("GET", path, json={"ok": True, "name": name})
        assert nango_sandbox.executor(name, "ada").get(path).json()["name"] == name
        assert api.ledger.received[-1].user == "ada"


def test_each_test_has_its_own(nango_sandbox):
    """No connection and no request of another test is left."""
    assert len(nango_sandbox.sandbox("klaviyo").ledger) == 0
    assert nango_sandbox.connections_for_user("ada") == []


def test_other_credentials_are_refused(nango_sandbox):
    """Only made-up credentials of this sandbox are accepted."""
    nango_sandbox.register_connection("klaviyo", "eve", {"api_key": "pk_of_production"})
    assert nango_sandbox.executor("klaviyo", "eve").verify().outcome == "refused"


def test_asyncio(nango_sandbox):
    """Async executors reach the sandboxes too."""
    nango_sandbox.connect("klaviyo", "ada")

    async def run():
        status = (await nango_sandbox.async_executor("klaviyo", "ada").get("metrics")).status_code
        await nango_sandbox.aclose()
        return status

    assert asyncio.run(run()) == 200


class TestHours:
    """A virtual clock."""

    @pytest.fixture
    def nango_clock(self):
        return VirtualClock()

    def test_hours_pass_at_once(self, nango_sandbox, nango_clock):
        """A token expires after an hour, without waiting."""
        nango_sandbox.connect("chat", "ada")
        chat = nango_sandbox.executor("chat", "ada")
        chat.post("auth.test")
        nango_clock.advance(hours=2)
        chat.post("auth.test")
        assert [each.endpoint for each in nango_sandbox.sandbox("chat").login_ledger.received] == ["token"]


@pytest.fixture
def nango_sandbox_options():
    return {"retry_after": "decimals"}


def test_unknown_names_suggest(nango_sandbox):
    """A misspelt integration is an error that names the nearest one."""
    with pytest.raises(LookupError, match='did you mean "klaviyo"'):
        nango_sandbox.connect("klavio", "ada")
'''


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder, with the plugin and without secrets in the environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NANGO", "PYTEST"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "nango_py.pytest_plugin",
        "-q",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_product_is_tested_without_its_apis(tmp_path: Path) -> None:
    """Sandboxes, made-up connections, asyncio, a virtual clock and overridden fixtures work in a suite."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nnango_integrations = conf/integrations.yaml\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "integrations.yaml").write_text(FILE)
    (tmp_path / "test_product.py").write_text(TESTS)
    done = run_pytest(tmp_path, "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    assert not (tmp_path / "conf" / ".nango" / "nango.db").exists()


def test_an_error_of_a_handler_fails_the_test(tmp_path: Path) -> None:
    """The control: what goes wrong in a handler is not only a 500."""
    (tmp_path / "integrations.yaml").write_text("integrations: {klaviyo: {extends_blueprint: klaviyo:v1}}")
    (tmp_path / "test_product.py").write_text(
        textwrap.dedent("""
        def test_it(nango_sandbox):
            nango_sandbox.connect("klaviyo", "ada")
            nango_sandbox.sandbox("klaviyo").handle("GET", "metrics")(lambda request: 1 / 0)
            nango_sandbox.executor("klaviyo", "ada").post("metrics")
            nango_sandbox.executor("klaviyo", "ada").request("HEAD", "metrics", deadline_seconds=0.5)
        """)
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout


@pytest.mark.parametrize("title", ["tests/test_orders.py"])
def test_the_test_of_the_docs_passes(title: str, tmp_path: Path) -> None:
    """The page's own test runs as it stands."""
    (block,) = [each for each in blocks(ROOT / "docs" / "testing.md", "python") if each.title == title]
    (tmp_path / "integrations.yaml").write_text((ROOT / "integrations.yaml").read_text())
    (tmp_path / "test_orders.py").write_text(block.text)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """Besides pytest it imports nango_py's own start only: fewer than 20 modules."""
    code = (
        "import sys, pytest, logging, unittest, argparse, concurrent.futures\n"
        "before = set(sys.modules)\n"
        "import nango_py.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.split()
    own = {name for name in loaded if name.startswith("nango_py")}
    assert own <= {"nango_py", "nango_py.errors", "nango_py.pytest_plugin", "nango_py.record"}
    assert len(loaded) < 20, loaded
