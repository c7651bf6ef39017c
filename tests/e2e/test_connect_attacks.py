"""What an attacker may try on the connect server, over HTTP: nothing is connected, shown, or called."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import http.client
import json
import logging
import random
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from nango_py.connections.pending import MAX_PER_SESSION
from nango_py.server.site import LOGINS_PER_MINUTE, SUBMITS_PER_MINUTE
from tests.support.connect_product import APP, GOOD_KEY, Product, connect_server, notice_of
from tests.support.fake_clock import ManualClock
from tests.support.oauth2_login_provider import consent
from tests.support.planted_secrets import Collector
from tests.support.provider_server import ProviderResponse, query_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

EVIL = "https://evil.test"
SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'>&"


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """A separate product for each attack."""
    with connect_server(tmp_path) as running:
        yield running


def raw(product: Product, target: str, headers: dict[str, str]) -> tuple[int, Any, str]:
    """A GET whose Host header is what the test says."""
    parts = urlsplit(product.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers, body


def nothing_came_of_it(product: Product, *responses: requests.Response) -> None:
    """No code was exchanged and nothing was stored."""
    assert [response.status_code for response in responses] == [400] * len(responses)
    assert product.provider.exchanges() == []
    assert product.nango.connections_for_integration("mail") == []


# The callback: states, browsers, issuers.


def test_a_callback_with_a_forged_or_missing_state_does_nothing(product: Product) -> None:
    """D1: a code without a state, or with a made-up one, is worth nothing."""
    visitor, token = product.visitor(), product.session()
    good = query_of(consent(visitor.login_url(token, "mail")))
    states = [None, "", "x", good["state"][:-1], good["state"] + "A", good["state"].swapcase(), "a" * 9_000]
    responses = [
        visitor.ask(
            "GET", "/oauth/callback", params={"code": good["code"], "state": state, "iss": good["iss"]}
        )
        for state in states
    ]
    twice = f"/oauth/callback?{urlencode(good)}&state={good['state']}"
    nothing_came_of_it(product, *responses, visitor.ask("GET", twice))
    assert all(notice_of(response.text).message is None for response in responses)
    assert notice_of(visitor.ask("GET", "/oauth/callback", params=good).text).kind == "ok"


def test_a_callback_in_another_browser_does_nothing(product: Product) -> None:
    """D1: the victim's browser cannot be made to finish the attacker's login, nor the other way round."""
    attacker, victim, token = product.visitor(), product.visitor(), product.session("attacker")
    back = consent(attacker.login_url(token, "mail"))
    victim.start(product.session("victim"), "mail")  # the victim has a cookie, for another login
    nothing_came_of_it(product, victim.callback(back), attacker.callback(back))


def test_the_cookie_of_another_login_is_refused(product: Product) -> None:
    """D1: each login has its own cookie; that of another one, renamed, is refused."""
    visitor, token = product.visitor(), product.session()
    first, second = visitor.login_url(token, "mail"), visitor.login_url(token, "mail")
    names = list(visitor.http.cookies.keys())
    values = dict(visitor.http.cookies)
    visitor.http.cookies.clear()
    swapped = f"{names[0]}={values[names[1]]}; {names[1]}={values[names[0]]}"
    visitor.http.headers["Cookie"] = swapped
    nothing_came_of_it(product, *(visitor.callback(consent(url)) for url in (first, second)))


def test_64_identical_callbacks_cause_one_exchange(product: Product) -> None:
    """D2: of any number of identical callbacks one is served."""
    visitor = product.visitor()
    back = consent(visitor.login_url(product.session(), "mail"))
    cookies = dict(visitor.http.cookies)

    def again(_: int) -> str:
        other = product.visitor()
        other.http.cookies.update(cookies)
        return notice_of(other.callback(back).text).kind

    with ThreadPoolExecutor(64) as pool:
        kinds = list(pool.map(again, range(64)))
    assert sorted(kinds) == ["failed"] * 63 + ["ok"]
    assert len(product.provider.exchanges()) == 1


def test_different_callbacks_are_all_exchanged(product: Product) -> None:
    """The control of D2: sixteen logins at once are sixteen exchanges, so one is not the server's limit."""

    def journey(number: int) -> str:
        return product.visitor().login(product.session(f"user-{number}"), "mail").kind

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(journey, range(16))) == ["ok"] * 16
    assert len(product.provider.exchanges()) == 16


def test_every_login_has_its_own_pkce_challenge(product: Product) -> None:
    """D3: S256, with a verifier of 43 to 128 characters that is sent with the code and nowhere before."""
    for number in range(3):
        product.visitor().login(product.session(f"user-{number}"), "mail")
    challenges = [each["code_challenge"] for each in product.provider.authorizations]
    verifiers = [given["code_verifier"] for _, _, given in product.provider.token_calls]
    assert {each["code_challenge_method"] for each in product.provider.authorizations} == {"S256"}
    made = [base64.urlsafe_b64encode(hashlib.sha256(each.encode()).digest()) for each in verifiers]
    assert challenges == [each.decode().rstrip("=") for each in made]
    assert len(set(verifiers)) == 3
    assert all(43 <= len(each) <= 128 for each in verifiers)
    assert not any(each in json.dumps(product.provider.authorizations) for each in verifiers)


def test_every_signature_has_its_own_nonce(product: Product) -> None:
    """D11: no two signed requests of any logins have the same nonce."""
    for number in range(3):
        assert product.visitor().login(product.session(f"user-{number}"), "bird").kind == "ok"
    nonces = [nonce for _, _, nonce in product.provider1.calls]
    assert len(nonces) >= 6
    assert len(set(nonces)) == len(nonces)


def test_a_response_of_another_issuer_is_refused(tmp_path: Path) -> None:
    """D4: a wrong `iss` ends the login before any token request; the right one does not."""
    with connect_server(
        tmp_path, provider={"issuer": "wrong"}, auth={"issuer": "https://right.test"}
    ) as product:
        end = product.visitor().login(product.session(), "mail")
        assert (end.kind, end.message and end.message["code"]) == ("failed", "wrong_issuer")
        assert product.provider.token_calls == []


def test_a_code_is_not_sent_to_another_integration(product: Product) -> None:
    """D4: the callback of another integration ends the login."""
    visitor = product.visitor()
    back = query_of(consent(visitor.login_url(product.session(), "mail")))
    response = visitor.ask("GET", "/oauth/callback/bird", params=back)
    nothing_came_of_it(product, response)


# Hosts, origins and redirects.


HOSTS = [
    "evil.test", "127.0.0.1.evil.test", "evil.test:80", "localhost.evil.test", "127.0.0.2", "", "a b", "[::1",
    "127.0.0.1@evil.test", "127.0.0.1:80/x", "127.0.0.1#", "xn--e1awd7f.test", "169.254.169.254",
]  # fmt: skip


def test_a_foreign_host_is_refused(product: Product) -> None:
    """J6: a foreign name that resolves to this server gets 421 at every address, and no cookie."""
    link = f"/oauth/connect/mail?session={product.session()}"
    for host in HOSTS:
        for target in ("/connect", link, "/oauth/callback?state=x", "/nowhere"):
            status, headers, body = raw(product, target, {"Host": host})
            assert (status, headers["Set-Cookie"], headers["Location"]) == (421, None, None), host
            assert "evil" not in body
    assert product.provider.authorizations == []


def test_our_own_hosts_are_served(product: Product) -> None:
    """The control of J6: the names of this machine are served."""
    port = urlsplit(product.url).port
    for host in (f"127.0.0.1:{port}", "localhost", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert raw(product, "/connect", {"Host": host})[0] in {200, 303}


def test_the_redirect_uri_depends_on_the_configuration_only(product: Product) -> None:
    """D5: no header changes the redirect URI, or who receives a result."""
    link = f"/oauth/connect/mail?session={product.session()}"
    for header in ("X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Host", "Referer"):
        value = "host=evil.test;proto=https" if header == "Forwarded" else "evil.test"
        response = product.visitor().ask("GET", link, headers={header: value})
        assert query_of(response.headers["Location"])["redirect_uri"] == f"{product.url}/oauth/callback"
        assert "evil" not in f"{response.headers}{response.text}"


def test_there_is_no_open_redirect(product: Product) -> None:
    """D6, D7: there are no fields that could name a URL or a user."""
    for name in ("next", "redirect_uri", "return_to", "userId", "user_id", "browser"):
        response = product.visitor().start(product.session(), "mail", **{name: "//evil.test"})
        assert (response.status_code, "evil" in response.text) == (400, False)
    assert product.provider.authorizations == []


def test_only_configured_origins_receive_results(product: Product) -> None:
    """D6, D8: an origin that is not configured is refused, and gets no message about that either."""
    others = [EVIL, "null", "*", f"{APP}.evil.test", f"{APP}/", f"{APP}:8443", "javascript:1", SCRIPT]
    for origin in others:
        response = product.visitor().start(product.session(), "mail", origin=origin)
        notice = notice_of(response.text)
        assert (response.status_code, notice.message, notice.origin) == (403, None, "")
    assert product.provider.authorizations == []


def test_a_session_can_be_limited_to_one_origin(tmp_path: Path) -> None:
    """D8: of two configured origins only the one that the session names receives results."""
    other = "https://admin.product.test"
    with connect_server(tmp_path, config={"connect_origins": [APP, other]}) as product:
        token = product.session(origin=APP)
        assert product.visitor().start(token, "mail", origin=other).status_code == 403
        assert product.visitor().login(token, "mail").origin == APP
        assert product.visitor().login(product.session(), "mail", origin=other).origin == other


# Other users.


def test_a_session_is_limited_to_its_user_and_integrations(product: Product) -> None:
    """D7, J3: nothing of another user can be seen, changed or deleted with one's own session."""
    theirs, mine = product.session("victim"), product.session("attacker", ["shop"])
    visitor = product.visitor()
    body = {"credentials": {"api_key": GOOD_KEY}, "attempt": "a1"}
    assert visitor.ask("POST", "/connect/integrations/shop", theirs, json=body).status_code == 200
    assert visitor.login(theirs, "mail", attempt="a2").kind == "ok"
    assert visitor.ask("GET", "/connect/attempts/a2", theirs).json()["done"] is True
    for attempt in ("a1", "a2"):
        assert visitor.ask("GET", f"/connect/attempts/{attempt}", mine).json() == {"done": False}
    offers = visitor.ask("GET", "/connect/session", mine).json()["integrations"]
    assert [(each["name"], each["status"]) for each in offers] == [("shop", "not_connected")]
    assert visitor.ask("DELETE", "/connect/integrations/shop", mine).status_code == 200
    refused = [
        visitor.ask("DELETE", "/connect/integrations/mail", mine),
        visitor.ask("POST", "/connect/integrations/mail", mine, json={}),
        visitor.ask("DELETE", "/connect/integrations/nothing", mine),
        visitor.start(mine, "mail"),
        visitor.start(mine, "nothing"),
    ]
    assert [response.status_code for response in refused] == [404] * 5
    # What is declared and what is not look the same from here.
    assert refused[0].json() == refused[2].json()
    assert len(product.nango.connections_for_user("victim")) == 2
    assert product.nango.connections_for_user("attacker") == []


def test_a_changed_token_is_refused(product: Product) -> None:
    """D7: no part of a token can be changed to make it another user's."""
    token, visitor = product.session("attacker"), product.visitor()
    key_id, _, sealed = token.partition(".")
    claims = base64.urlsafe_b64encode(b'{"user":"victim","integrations":["mail"]}').decode().rstrip("=")
    places = range(0, len(sealed), len(sealed) // 24)
    changed = [
        f"{key_id}.{sealed[:place]}{'A' if sealed[place] != 'A' else 'B'}{sealed[place + 1 :]}"
        for place in places
    ]
    for text in [*changed, f"{key_id}.{claims}", claims, f"none.{claims}", token[:-2], "", "." * 50]:
        assert visitor.ask("GET", "/connect/session", text).status_code == 401
        assert visitor.start(text, "mail").status_code == 401
    assert visitor.ask("GET", "/connect/session", token).status_code == 200


# What comes from outside is shown as text.


def test_foreign_text_is_not_markup(tmp_path: Path) -> None:
    """D8: markup in a user id, a title, a product name or a provider's error creates no elements."""
    with connect_server(tmp_path, config={"product_name": SCRIPT[:100]}) as product:
        visitor, token = product.visitor(), product.session(SCRIPT, user_label=SCRIPT)
        assert visitor.login(token, "mail").tags.count("script") == 1
        product.provider.refusals.append({"error": SCRIPT, "error_description": SCRIPT})
        responses = [
            visitor.callback(consent(visitor.login_url(token, "mail"))),
            visitor.start(token, quote(SCRIPT, safe=""), attempt="a1", origin=APP),
            visitor.ask("GET", f"/{quote(SCRIPT)}", headers={"Accept": "text/html"}),
            visitor.ask("GET", "/oauth/callback", params={"error": SCRIPT, "state": SCRIPT}),
        ]
        for response in responses:
            notice = notice_of(response.text)
            assert response.status_code >= 400
            assert notice.tags.count("script") == (1 if notice.message else 0), response.text
            assert "img" not in notice.tags
            assert "<script>alert" not in response.text
        heard = notice_of(responses[0].text)
        assert heard.message is not None
        assert (heard.message["code"], "alert(1)" in heard.message["message"]) == ("provider_error", True)
        assert visitor.ask("GET", "/connect/session", token).headers["Content-Type"] == "application/json"


def test_the_search_for_markup_finds_it() -> None:
    """The control of D8: a page that inserts an error as markup has more elements than it should."""
    notice = notice_of(f'<body class="notice"><p class="message">{SCRIPT}</p></body>')
    assert notice.tags.count("script") == 1
    assert "img" in notice.tags


# Hostile providers.


@pytest.mark.parametrize(
    "response",
    [
        ProviderResponse(200, [1, 2]),
        ProviderResponse(200, "<html>Sign in</html>", {"Content-Type": "text/html"}),
        ProviderResponse(200, {"token_type": "Bearer"}),
        ProviderResponse(200, {"access_token": ["x"], "token_type": "Bearer"}),
        ProviderResponse(200, {"access_token": "x" * 10_000_000, "token_type": "Bearer"}),
        ProviderResponse(200, {"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer"}),
        ProviderResponse(200, {"access_token": "token_1234567", "token_type": "mac"}),
        ProviderResponse(500, {"error": SCRIPT}),
        ProviderResponse(400, {"error": "invalid_grant", "error_description": SCRIPT}),
        ProviderResponse(307, "", {"Location": "http://127.0.0.1:1/token"}),
    ],
    ids=["list", "html", "missing", "type", "10MB", "header", "token_type", "500", "400", "redirect"],
)
def test_a_hostile_token_response_is_an_error(product: Product, response: ProviderResponse) -> None:
    """D12: nothing is stored, the page says so, and the server keeps running."""
    product.provider.token_faults.append(response)
    end = product.visitor().login(product.session(), "mail")
    assert end.kind == "failed"
    assert end.tags.count("script") == 1
    assert product.nango.connections_for_integration("mail") == []
    assert product.visitor().login(product.session(), "mail").kind == "ok"


@pytest.mark.parametrize("seconds", ["3600", -1, 1e99, "soon", None, True, 3600.5])
def test_an_odd_token_lifetime_is_tolerated(product: Product, seconds: Any) -> None:
    """D12: numbers as text are read, others are bounded or ignored."""
    given = {"access_token": "token_given_1234", "token_type": "Bearer", "expires_in": seconds}
    product.provider.token_faults.append(ProviderResponse(200, given))
    end = product.visitor().login(product.session(), "mail")
    stored = product.nango.connections_for_integration("mail")
    assert (end.kind, len(stored)) in {("ok", 1), ("failed", 0)}


# Floods.


def test_a_flood_of_logins_leaves_memory_and_rows_flat(tmp_path: Path) -> None:
    """D10: a link requested in a loop is throttled, its logins are bounded, and nothing grows."""
    clock = ManualClock()
    with connect_server(tmp_path, clock=clock) as product:
        token, visitor = product.session(), product.visitor()

        def flood(rounds: int) -> dict[int, int]:
            counts: dict[int, int] = {}
            for number in range(rounds):
                visitor.http.cookies.clear()
                status = visitor.start(token, "mail").status_code
                counts[status] = counts.get(status, 0) + 1
                if number % 100 == 99:
                    clock.advance(30)
            return counts

        flood(100)
        gc.collect()
        before, rows = sys.getallocatedblocks(), pending_rows(tmp_path)
        counts = flood(400)
        gc.collect()
        assert sys.getallocatedblocks() - before < 20_000
        assert pending_rows(tmp_path) == rows == MAX_PER_SESSION
        assert counts.keys() == {200, 429}
        assert counts[200] <= 4 * LOGINS_PER_MINUTE // 2 + LOGINS_PER_MINUTE


def test_rows_grow_with_sessions(tmp_path: Path) -> None:
    """The control of D10: logins in progress are counted in rows."""
    with connect_server(tmp_path) as product:
        for number in range(5):
            product.visitor().start(product.session(f"user-{number}"), "mail")
        assert pending_rows(tmp_path) == 5


def pending_rows(folder: Path) -> int:
    """What is under way, as the database says."""
    with contextlib.closing(sqlite3.connect(folder / "nango.db")) as database:
        return int(database.execute("SELECT count(*) FROM nango_pending").fetchone()[0])


def test_keys_cannot_be_tested_in_bulk(tmp_path: Path) -> None:
    """D10: one session may submit a few keys per minute; then 429 says when to try again."""
    clock = ManualClock()
    with connect_server(tmp_path, clock=clock) as product:
        token, visitor = product.session(), product.visitor()

        def guess(key: str) -> requests.Response:
            body = {"credentials": {"api_key": key}}
            return visitor.ask("POST", "/connect/integrations/shop", token, json=body)

        responses = [guess(f"key_guessed_{number:04d}") for number in range(SUBMITS_PER_MINUTE + 3)]
        statuses = [response.status_code for response in responses]
        assert statuses == [422] * SUBMITS_PER_MINUTE + [429] * 3
        assert responses[-1].json()["error"]["code"] == "too_many"
        clock.advance(float(responses[-1].headers["Retry-After"]))
        assert guess(GOOD_KEY).status_code == 200
        assert len(product.sandbox.ledger) == SUBMITS_PER_MINUTE + 1


# Nonsense.

PATHS = [
    "/connect", "/connect/session", "/connect/integrations/shop", "/connect/integrations/mail",
    "/connect/attempts/a1", "/oauth/connect/mail", "/oauth/connect/shop", "/oauth/connect/bird",
    "/oauth/callback", "/oauth/callback/mail", "/static/connect.css", "/nango-connect.js",
]  # fmt: skip
WORDS = [
    "connect", "session", "mail", "oauth", "static", "..", "%2e%2e", "%00", "%ff", "\u00e9", "a" * 300, "{}",
    "[]", "null", "0", "-1", "'", '"', ";", "${x}", "\ud800", "state", "code", "error", "origin", "config",
    "attempt", "%", "//", "?", "&", "=", "\t", SCRIPT,
]  # fmt: skip


def test_random_requests_cause_no_server_errors(product: Product) -> None:
    """J8: random methods, paths, headers and bodies never cause a 500."""
    collector, root, dice = Collector(), logging.getLogger(), random.Random(20_261_126)
    root.addHandler(collector)
    parts, token = urlsplit(product.url), product.session()
    statuses: dict[int, int] = {}
    try:
        for _ in range(600):
            method, target, headers, body = nonsense(dice, token)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
            connection.request(
                method, target, body, {"Host": parts.netloc, "Sec-Fetch-Site": "none", **headers}
            )
            response = connection.getresponse()
            shown = response.read().decode() + str(response.headers)
            connection.close()
            statuses[response.status] = statuses.get(response.status, 0) + 1
            assert response.status < 500, (method, target, headers, body, shown)
            for word in ("Traceback", "Error:", ".py", "nango_py", "Exception"):
                assert word not in shown, (method, target, body, shown)
    finally:
        root.removeHandler(collector)
    assert len(statuses) >= 7, statuses
    assert not [line for line in collector.lines if "mistake" in line or "Traceback" in line]


def nonsense(dice: random.Random, token: str) -> tuple[str, str, dict[str, str], bytes]:
    """A request that is wrong somewhere, and yet near enough to be looked at."""
    method = dice.choice(["GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD", "FROB"])
    is_known = dice.random() < 0.8
    path = dice.choice(PATHS) if is_known else "/" + "/".join(dice.choices(WORDS, k=dice.randint(1, 4)))
    pairs = [(dice.choice(WORDS), dice.choice([*WORDS, token])) for _ in range(dice.randint(0, 4))]
    pairs += [("session", token)] if dice.random() < 0.5 else []
    query = urlencode(pairs, errors="surrogatepass")
    target = quote(path, safe="/%", errors="surrogatepass") + (f"?{query}" if dice.random() < 0.7 else "")
    headers = {
        "Authorization": dice.choice(
            [f"Bearer {token}", "Bearer", "x", f"Bearer {token[:-3]}", "Basic \xe9"]
        ),
        "Content-Type": dice.choice(
            ["application/json", "application/x-www-form-urlencoded", "text/plain", "\xff"]
        ),
        "Cookie": dice.choice(["", "a=b", ";;;=", "nango-login-x=\xe9", "=" * 50]),
        "Accept": dice.choice(["text/html", "*/*", ""]),
        "If-None-Match": dice.choice(["", "*", '"x"']),
    }
    shapes: list[Any] = [
        query,
        "{}",
        "[]",
        "{",
        {"credentials": {"api_key": dice.choice(WORDS)}},
        {"credentials": 1},
    ]
    shape = dice.choice(shapes)
    body = shape if isinstance(shape, str) else json.dumps(shape)
    return (
        method,
        target,
        headers,
        body.encode("utf-8", "surrogatepass") if method in {"POST", "PUT"} else b"",
    )
