"""The two ends of an OAuth login: the way to the provider, and the way back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nango_py.errors import CONNECT_CODES, ConnectFailed, printable
from nango_py.server.cookies import bind_browser, browser_of, new_browser, set_cookie, superfluous
from nango_py.server.data_routes import is_attempt
from nango_py.server.error_responses import Refusal, make_refusal
from nango_py.server.http_responses import html_refusal, html_response, redirect
from nango_py.server.login_pages import Heard, told

if TYPE_CHECKING:
    from starlette.responses import Response

    from nango_py.config.model import Integration
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.server.request import ConnectRequest
    from nango_py.server.site import Site

FIELDS = frozenset({"session", "attempt", "origin", "config"})


def start(site: Site, asked: ConnectRequest) -> Response:
    """Send the browser to the provider, for a session's user and one of its integrations."""
    given, name = asked.given(), asked.names["name"]
    if given.keys() - FIELDS:
        raise Refusal(400, "bad_request", f"a login begins with {', '.join(sorted(FIELDS))} only")
    attempt = given.get("attempt", "")
    if not is_attempt(attempt):
        raise Refusal(400, "bad_request", "attempt is up to 64 letters, digits, - and _")
    claims = site.claims(given.get("session", ""))
    origin = _origin(claims, given.get("origin", ""), asked)
    try:
        return _begun(site, asked, claims, name, origin, attempt, given.get("config", ""))
    except Exception as error:  # noqa: BLE001 - the page that waits is told of a mistake too, without its text
        refusal = make_refusal(error)
    # The page that opened this window waits for a response, and may have one: its origin was checked.
    message = told(ok=False, integration=name, attempt=attempt, code=refusal.code, message=refusal.message)
    page = site.pages.failed(refusal.message, refusal.code, Heard(message, origin))
    return html_response(page, refusal.status, refusal.headers)


def _begun(
    site: Site,
    asked: ConnectRequest,
    claims: SessionClaims,
    name: str,
    origin: str,
    attempt: str,
    config: str,
) -> Response:
    integration = site.integration(claims, name)
    settings = _settings(integration, config)
    site.spend_start(claims)
    browser = new_browser()
    url = site.logins.begin(
        integration.name,
        claims.user_id,
        session_id=claims.id,
        additional_config=settings,
        browser=bind_browser(browser),
        origin=origin,
        attempt=attempt,
    )
    response = _on_the_way(site, asked, claims, integration.title or name, url)
    for cookie in (*superfluous(asked.cookies, asked.doors), set_cookie(url, browser, asked.doors)):
        response.headers.append("Set-Cookie", cookie)
    return response


def _on_the_way(site: Site, asked: ConnectRequest, claims: SessionClaims, title: str, url: str) -> Response:
    if asked.method == "POST":
        return html_response(site.pages.leaving(title, url))
    if asked.site == "cross-site":
        # A stranger's page could send its visitors here with a session of its own, to have their accounts.
        return html_response(site.pages.asking(title, url, claims.user_label))
    return redirect(url)


def callback(site: Site, asked: ConnectRequest) -> Response:
    """Finish a login with what the provider sent, and tell the page that began it, and nobody else."""
    query = asked.given()
    browser, forget = browser_of(query, asked.cookies, asked.doors)
    headers = {"Set-Cookie": forget} if forget else {}
    try:
        outcome = site.logins.finish(query, bind_browser(browser), integration=asked.names.get("name", ""))
    except Exception as error:  # noqa: BLE001 - the same
        # No word of the connection: a page that is loaded again may be one that connected before.
        response = html_refusal(make_refusal(error), site.pages)
        response.headers.update(headers)
        return response
    message = told(
        ok=outcome.ok,
        integration=outcome.integration,
        attempt=outcome.attempt,
        code=outcome.code,
        message=outcome.message,
        missing_scopes=outcome.missing_scopes,
    )
    heard = Heard(message, outcome.origin) if outcome.origin else None
    if outcome.ok:
        page = site.pages.connected(site.title(outcome.integration), outcome.message, heard)
        return html_response(page, headers=headers)
    page = site.pages.failed(outcome.message, outcome.code, heard)
    return html_response(page, CONNECT_CODES.get(outcome.code, 400), headers)


def _origin(claims: SessionClaims, origin: str, asked: ConnectRequest) -> str:
    """The origin that hears how the login ends: one that may, else the session's, else our own pages.

    Raises:
        ConnectFailed: `not_allowed`.
    """
    if not origin:
        return claims.origin or asked.doors.root
    if not asked.doors.hears(origin, claims.origin):
        raise ConnectFailed("not_allowed", "this page may not connect accounts here")
    return origin


def _settings(integration: Integration, text: str) -> dict[str, Any] | None:
    """What the user filled in before the login: fields that the page asks for, and no others.

    Raises:
        Refusal: it is no JSON object.
        ConnectFailed: `invalid_credentials`: there is no such field.
    """
    if not text:
        return None
    from nango_py.connect.forms import ADDITIONAL_CONFIG, form_of

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(400, "bad_request", "config is not a JSON object")
    if unknown := value.keys() - form_of(integration).named(ADDITIONAL_CONFIG):
        fields = {printable(name): "There is no such field." for name in unknown}
        raise ConnectFailed("invalid_credentials", "Please look at the marked fields.", fields=fields)
    return value
