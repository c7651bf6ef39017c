"""What the connect server does at each of its addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.connect.outcome import LoginOutcome
from nango_py.connect.words import choose_words
from nango_py.errors import CONNECT_CODES, ConnectFailed, printable
from nango_py.server import cookies
from nango_py.server.request import parse_json
from nango_py.server.responses import (
    Refusal,
    file_response,
    html_refusal,
    html_response,
    json_response,
    make_refusal,
    redirect,
)
from nango_py.server.security_headers import security_headers

if TYPE_CHECKING:
    from starlette.responses import Response

    from nango_py.config.model import Integration
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.json_types import JsonObject
    from nango_py.server.request import ConnectRequest
    from nango_py.server.site import Site

LOGIN_FIELDS = frozenset({"session", "attempt", "origin", "config"})
CHOICE_FIELDS = frozenset({"state", "value"})
SUBMIT_FIELDS = frozenset({"credentials", "additional_config", "attempt"})


def show_page(site: Site, request: ConnectRequest) -> Response:
    """The connect page, at the host to which providers send the browser back."""
    origin = request.address.canonical_origin(request.host)
    if origin:
        return redirect(f"{origin}{request.address.prefix}/connect")
    return html_response(site.static.page("connect.html", request.words()))


def send_file(site: Site, request: ConnectRequest) -> Response:
    """A static file, by default the script with which a product's own page connects accounts."""
    file = site.static.find(request.name or "nango-connect.js")
    if file is None:
        raise Refusal(404, "not_found", "file not found")
    is_cached = file.version in request.headers.get("if-none-match", "")
    return file_response(file, requested_version=request.query.partition("v=")[2], is_cached=is_cached)


def list_session(site: Site, request: ConnectRequest) -> Response:
    """The integrations of a connect session, and whether each is connected."""
    from nango_py.connect.listing import list_integrations

    claims = site.accounts.read_session(request.bearer())
    words = request.words(claims)
    data = list_integrations(site.accounts, claims)
    return json_response({**data, "language": words.language, "words": dict(words.texts)})


def connect(site: Site, request: ConnectRequest) -> Response:
    """Check the submitted credentials and store them."""
    from nango_py.connect.submit import submit

    claims = site.accounts.read_session(request.bearer())
    integration = site.find_integration(claims, request.name)
    body = request.json()
    if unknown := body.keys() - SUBMIT_FIELDS:
        raise Refusal(400, "bad_request", f"unknown field {min(unknown)[:40]!a}")
    credentials, settings = _get_object(body, "credentials"), _get_object(body, "additional_config")
    attempt = _check_attempt(body.get("attempt") or "")
    site.count_attempt(site.submits, claims, integration, settings)
    words = request.words(claims)
    return json_response(
        submit(site.accounts, claims, integration.name, credentials, settings, attempt, words)
    )


def disconnect(site: Site, request: ConnectRequest) -> Response:
    """Delete the user's connection. It is not an error if there is none."""
    from nango_py.connect.submit import disconnect

    claims = site.accounts.read_session(request.bearer())
    integration = site.find_integration(claims, request.name)
    site.submits.count(claims.user_id)
    return json_response(disconnect(site.accounts, claims, integration.name))


def get_attempt(site: Site, request: ConnectRequest) -> Response:
    """How a login attempt of this session ended, for pages whose window lost its opener."""
    claims = site.accounts.read_session(request.bearer())
    outcome = site.logins.find_outcome(claims.id, _check_attempt(request.name))
    if outcome is None:
        return json_response({"done": False})
    return json_response({"done": True, "ok": outcome.ok, **outcome.to_json()})


def _check_attempt(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", value):
        raise Refusal(
            400, "bad_request", "attempt must be at most 64 letters, digits, hyphens and underscores"
        )
    return value


def _get_object(body: JsonObject, name: str) -> JsonObject:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, "bad_request", f"{name} must be a JSON object")
    return value


def start_login(site: Site, request: ConnectRequest) -> Response:
    """Send the browser to the provider's login page."""
    fields = request.fields()
    if fields.keys() - LOGIN_FIELDS:
        allowed = ", ".join(sorted(LOGIN_FIELDS))
        raise Refusal(400, "bad_request", f"unknown field; a login takes only {allowed}")
    attempt = _check_attempt(fields.get("attempt", ""))
    claims = site.accounts.read_session(fields.get("session", ""))
    origin = _choose_origin(claims, fields.get("origin", ""), request)
    try:
        return _begin_login(site, request, claims, origin, attempt, fields.get("config", ""))
    except Exception as error:  # noqa: BLE001 - the waiting page must hear of an unexpected error too
        refusal = make_refusal(error)
    # The page that opened this window waits for a result, and may have one: its origin was checked.
    outcome = LoginOutcome(
        False,  # noqa: FBT003 - ok
        request.name,
        claims.user_id,
        origin,
        attempt,
        refusal.code,
        refusal.message,
    )
    page = site.pages.result(outcome, site.title(request.name), request.words(claims))
    return html_response(page, refusal.status, refusal.headers)


def _begin_login(
    site: Site, request: ConnectRequest, claims: SessionClaims, origin: str, attempt: str, config: str
) -> Response:
    integration = site.find_integration(claims, request.name)
    settings = _parse_settings(integration, config)
    site.count_attempt(site.starts, claims, integration, settings or {})
    browser = cookies.new_browser()
    url = site.logins.begin(
        integration.name,
        claims.user_id,
        session_id=claims.id,
        additional_config=settings,
        browser=cookies.hash_browser(browser),
        origin=origin,
        attempt=attempt,
        language=claims.language,
        choices=claims.choices.get(integration.name),
    )
    response = _send_to_provider(site, request, claims, integration.title or request.name, url)
    for cookie in (
        *cookies.delete_excess(request.cookies, request.address),
        cookies.set_cookie(url, browser, request.address),
    ):
        response.headers.append("Set-Cookie", cookie)
    return response


def _send_to_provider(
    site: Site, request: ConnectRequest, claims: SessionClaims, title: str, url: str
) -> Response:
    if not site.is_own_click(request):
        # A foreign page could send its visitors here with its own session, to gain access to their accounts.
        return html_response(site.pages.confirm(title, url, claims.user_label, request.words(claims)))
    if request.method == "POST":
        return html_response(site.pages.redirect(title, url, request.words(claims)))
    return redirect(url)


def finish_login(site: Site, request: ConnectRequest) -> Response:
    """Finish a login with the provider's callback, and report the result to the page that started it."""
    query = request.fields()
    browser, expire = cookies.find_browser(query, request.cookies, request.address)
    headers = {"Set-Cookie": expire} if expire else {}
    try:
        outcome = site.logins.finish(query, cookies.hash_browser(browser), integration=request.name)
    except Exception as error:  # noqa: BLE001 - the cookie is deleted after an unexpected error too
        # The connection is not mentioned: this may be a reload of the page of a login that succeeded.
        response = html_refusal(make_refusal(error), site.pages, request.words())
        response.headers.update(headers)
        return response
    response = _show_outcome(site, request, outcome, browser)
    if expire:
        response.headers.append("Set-Cookie", expire)
    return response


def finish_choice(site: Site, request: ConnectRequest) -> Response:
    """Go on with a login after its user has chosen an account."""
    fields = request.fields()
    if fields.keys() - CHOICE_FIELDS:
        raise Refusal(400, "bad_request", "unknown field; a choice takes only state and value")
    browser, expire = cookies.find_browser(fields, request.cookies, request.address)
    value = fields.get("value", "")
    outcome = site.logins.finish_choice(fields.get("state", ""), value, cookies.hash_browser(browser))
    response = _show_outcome(site, request, outcome, browser)
    if expire:
        response.headers.append("Set-Cookie", expire)
    return response


def show_client_document(site: Site, _: ConnectRequest) -> Response:
    """Who the application is, for authorization servers that take this URL as client id."""
    from nango_py.connect.mcp import describe_application

    document = describe_application(site.accounts.services, site.logins.redirect_uri)
    if document is None:
        raise Refusal(404, "not_found", "page not found")
    return json_response(document)


def _show_outcome(site: Site, request: ConnectRequest, outcome: LoginOutcome, browser: str) -> Response:
    """The page at the end of a login, or the one on which its user chooses an account."""
    words = choose_words(request.headers.get("accept-language", ""), outcome.language)
    title = site.title(outcome.integration)
    if outcome.choice is None:
        page = site.pages.result(outcome, title, words)
        return html_response(page, 200 if outcome.ok else CONNECT_CODES.get(outcome.code, 400))
    action = f"{request.address.prefix}/oauth/choice"
    response = html_response(site.pages.choice(outcome.choice, outcome.ticket, action, title, words))
    cookie = cookies.set_cookie(f"?state={outcome.ticket}", browser, request.address)
    response.headers.append("Set-Cookie", cookie)
    response.headers.update(security_headers("choice", request.address))
    return response


def _choose_origin(claims: SessionClaims, origin: str, request: ConnectRequest) -> str:
    """The origin that receives the result: the requested one, else the session's, else our own pages.

    Raises:
        ConnectFailed: `not_allowed`.
    """
    if not origin:
        return claims.origin or request.address.root
    if not request.address.may_receive_result(origin, claims.origin):
        raise ConnectFailed("not_allowed", "this page is not allowed to connect accounts")
    return origin


def _parse_settings(integration: Integration, text: str) -> JsonObject | None:
    """What the user entered before the login.

    Raises:
        Refusal: it is not a JSON object.
        ConnectFailed: `invalid_credentials`: a field is not in the form.
    """
    if not text:
        return None
    from nango_py.connect.form_values import CHECK_FIELDS, NO_SUCH_FIELD
    from nango_py.connect.forms import ADDITIONAL_CONFIG, make_form

    value = parse_json(text)
    if not isinstance(value, dict):
        raise Refusal(400, "bad_request", "config must be a JSON object")
    if unknown := value.keys() - make_form(integration).fields_of(ADDITIONAL_CONFIG):
        fields = {printable(name): f"{NO_SUCH_FIELD}." for name in unknown}
        raise ConnectFailed("invalid_credentials", CHECK_FIELDS, fields=fields)
    return value
