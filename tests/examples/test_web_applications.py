"""The applications of examples/ for web frameworks: log in, connect Klaviyo on the page, and call it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.example_apps import copy_of, environment, free_port, run, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py import Sandbox

PASSWORD = "correct horse battery staple"


class Application:
    """A running application: its address, a logged-in browser, and where the connect page is."""

    def __init__(self, url: str, connect_url: str, browser: requests.Session) -> None:
        self.url, self.connect_url, self.browser = url, connect_url, browser

    def get(self, path: str) -> requests.Response:
        """A page of the application."""
        return self.browser.get(self.url + path, allow_redirects=False, timeout=30)

    def connect(self, key: str) -> requests.Response:
        """Follow the link to the connect page, and send the key as its script does."""
        link = self.get("/connect").headers["Location"]
        page, _, token = link.partition("#session=")
        assert page == f"{self.connect_url}/connect"
        assert requests.get(page, timeout=30).status_code == 200
        return requests.post(
            f"{self.connect_url}/connect/integrations/klaviyo",
            json={"credentials": {"api_key": key}, "additional_config": {}},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )


def password_browser() -> requests.Session:
    """A browser with Ada's password for HTTP authentication."""
    browser = requests.Session()
    browser.auth = ("ada", PASSWORD)
    return browser


@contextlib.contextmanager
def fastapi(folder: Path, klaviyo: Sandbox) -> Iterator[Application]:
    """One process with the connect page below /nango."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    app = copy_of("fastapi_app", folder, klaviyo, {"oauth_server_root_url": f"{url}/nango"})
    environ = environment(PRODUCT_URL=url, DEMO_PASSWORD=PASSWORD)
    with running(["-m", "uvicorn", "app:app", "--port", str(port)], app, environ, port=port):
        yield Application(url, f"{url}/nango", password_browser())


@contextlib.contextmanager
def flask(folder: Path, klaviyo: Sandbox) -> Iterator[Application]:
    """Two processes: Flask, and `nango serve` with the connect page."""
    port, page = free_port(), free_port()
    url, page_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page}"
    app = copy_of("flask_app", folder, klaviyo, {"oauth_server_root_url": page_url})
    environ = environment(PRODUCT_URL=url, DEMO_PASSWORD=PASSWORD)
    serve, server = ["-m", "nango_py", "serve"], ["-m", "flask", "run", "--port", str(port)]
    with running(serve, app, environ, port=page), running(server, app, environ, port=port):
        yield Application(url, page_url, password_browser())


@contextlib.contextmanager
def django(folder: Path, klaviyo: Sandbox) -> Iterator[Application]:
    """One process with the connect page below /nango; Ada logs in by Django's form."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    app = copy_of("django_app", folder, klaviyo, {"oauth_server_root_url": f"{url}/nango"})
    environ = environment(PRODUCT_URL=url, DJANGO_SECRET_KEY="made-up", DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    run(["manage.py", "migrate"], app, environ)
    run(["manage.py", "createsuperuser", "--noinput", "--username=ada", "--email=a@b.test"], app, environ)
    command = ["-m", "uvicorn", "shop.asgi:application", "--port", str(port)]
    with running(command, app, environ, port=port), requests.Session() as browser:
        yield Application(url, f"{url}/nango", browser)


def log_in_to_django(application: Application) -> None:
    """Send the login form."""
    form = application.browser.get(f"{application.url}/connect", timeout=30)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert token
    fields = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": "/metrics"}
    sent = application.browser.post(form.url, fields, headers={"Referer": form.url}, timeout=30)
    assert sent.url == f"{application.url}/metrics"


@pytest.mark.parametrize("start", [fastapi, flask, django])
def test_a_user_connects_and_the_application_calls_the_api(
    start: Callable[..., contextlib.AbstractContextManager[Application]], klaviyo: Sandbox, tmp_path: Path
) -> None:
    """Strangers are sent away; Ada connects with her key, reads her metrics, and gets a 503 after a 429."""
    klaviyo.respond("GET", "metrics", json={"data": [{"id": "1", "attributes": {"name": "Placed Order"}}]})
    with start(tmp_path, klaviyo) as application:
        stranger = requests.get(f"{application.url}/metrics", allow_redirects=False, timeout=30)
        assert stranger.status_code in {302, 401}
        if start is django:
            log_in_to_django(application)

        assert application.get("/metrics").status_code == 409
        refused = application.connect("pk_of_somebody_else")
        assert refused.status_code == 422
        assert application.connect("pk_ada").json()["status"] == "connected"

        found = application.get("/metrics")
        assert (found.status_code, found.json()) == (200, ["Placed Order"])

        klaviyo.respond("GET", "metrics", status=429, headers={"Retry-After": "60"})
        busy = application.get("/metrics")
        assert busy.status_code == 503
        assert 50 <= int(busy.headers["Retry-After"]) <= 60


def test_a_call_that_fails_is_a_bad_gateway(klaviyo: Sandbox, tmp_path: Path) -> None:
    """An error response of the API becomes a 502 with the id of the call, and no detail of the API."""
    klaviyo.respond("GET", "metrics", status=404)
    with fastapi(tmp_path, klaviyo) as application:
        assert application.connect("pk_ada").status_code == 200
        failed = application.get("/metrics")
        assert failed.status_code == 502
        assert re.fullmatch(r"[0-9a-f]{12}", failed.json()["call"])
