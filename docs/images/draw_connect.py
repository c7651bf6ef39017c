"""Takes screenshots of the connect page for the docs, with the Chromium of this machine.

python docs/images/draw_connect.py [FOLDER]
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from nango_py import Nango
from nango_py.server.uvicorn_server import make_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

OURS = {"oauth_client_id": "example", "oauth_client_secret": "example"}
BLUEPRINTS = {
    "slack": "slack:v0",
    "hubspot": "hubspot:v3",
    "google-calendar": "google-calendar:v3",
    "klaviyo": "klaviyo:v1",
    "github": "github:v0",
    "stripe": "stripe:v1",
    "zendesk": "zendesk:v2",
    "jira": "jira:v3",
    "salesforce": "salesforce:v0",
    "shopify": "shopify:v0",
    "xero": "xero:v2",
}
BY_KEY = {"klaviyo", "stripe", "zendesk"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextlib.contextmanager
def product(folder: str) -> Iterator[Nango]:
    """A running connect server, with a user who has connected two accounts."""
    listener = socket.create_server(("127.0.0.1", 0))
    integrations: dict[str, Any] = {
        name: {"extends_blueprint": blueprint, **({} if name in BY_KEY else OURS)}
        for name, blueprint in BLUEPRINTS.items()
    }
    config = {
        "product_name": "Acme Reports",
        "oauth_server_root_url": f"http://127.0.0.1:{listener.getsockname()[1]}",
    }
    with Nango(
        {"integrations": integrations, "config": config},
        database_url=f"sqlite:///{folder}/nango.db",
        encryption_keys=base64.b64encode(bytes(32)).decode(),
        environ={},
    ) as nango:
        nango.register_connection("hubspot", "ada", {"access_token": "example"})
        nango.register_connection("stripe", "ada", {"api_key": "sk_test_example_1234567890"})
        server = make_server(nango.accounts)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield nango
        finally:
            server.should_exit = True
            thread.join()


def draw(nango: Nango, browser: Browser, target: Path) -> None:
    """Both pictures."""
    desktop = browser.new_page(viewport={"width": 1160, "height": 884})
    desktop.goto(nango.connect_session("ada", user_label="ada@example.com").url)
    desktop.locator(".card").first.wait_for()
    desktop.screenshot(path=target / "connect-light.png")
    phone = browser.new_page(
        viewport={"width": 390, "height": 740}, device_scale_factor=1.5, color_scheme="dark"
    )
    phone.goto(nango.connect_session("ada", user_label="ada@example.com").url)
    phone.locator(".card", has_text="Klaviyo").click()
    phone.get_by_role("dialog").wait_for()
    phone.screenshot(path=target / "connect-phone.png", animations="disabled", caret="hide")


def main() -> None:
    """Draw into the given folder, or next to this file."""
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, product(folder) as nango, sync_playwright() as playwright:
        draw(nango, playwright.chromium.launch(executable_path=chromium, args=FLAGS), target)


if __name__ == "__main__":
    main()
