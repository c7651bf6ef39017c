"""What the page of a sandbox shows, without secrets, and the files of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlencode

from nango_py.sandbox.responses import SandboxResponse
from nango_py.secret import MASK, mask_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nango_py.clock import Clock
    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.sandbox.credentials import Credentials
    from nango_py.sandbox.http_socket import Request
    from nango_py.sandbox.ledger import Ledger, Received
    from nango_py.sandbox.request_counts import RequestCounts

_SHOWN = 200
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES = {"": "page.html", "watch.css": "watch.css", "watch.js": "watch.js"}


class WatchedApi(Protocol):
    """What the page shows of a sandbox."""

    settings: Settings
    ledger: Ledger
    login_ledger: Ledger
    counts: RequestCounts
    credentials: Credentials
    clock: Clock
    base_path: str
    origin: str


def respond(name: str, request: Request, apis: Sequence[WatchedApi]) -> SandboxResponse | None:
    """The page, one of its files, or its data; None if the name is something else.

    The host is checked, so that no page of the web can read it by a name that leads to this machine.
    """
    if name not in _FILES and name != "state":
        return None
    port = apis[0].origin.rpartition(":")[2]
    own = {f"{host}:{each.origin.rpartition(':')[2]}" for host in ("127.0.0.1", "localhost") for each in apis}
    if request.header("host") not in own:
        return SandboxResponse.of(text=f"open http://127.0.0.1:{port}/", status=403, headers=HEADERS)
    if request.method not in {"GET", "HEAD"}:
        return SandboxResponse.of(text="only GET", status=405, headers=HEADERS)
    if name == "state":
        text = json.dumps({"sandboxes": [_describe(api) for api in apis]})
        return SandboxResponse.of(text=text, headers={**HEADERS, "Content-Type": "application/json"})
    file = Path(__file__).with_name(_FILES[name])
    headers = {**HEADERS, "Content-Type": f"{_TYPES[file.suffix]}; charset=utf-8"}
    return SandboxResponse(200, tuple(headers.items()), file.read_bytes())


def _describe(api: WatchedApi) -> JsonObject:
    now = api.clock.monotonic()
    requests: list[JsonValue] = [_entry(api, each, now) for each in _last(api.ledger.received)]
    logins: list[JsonValue] = [
        {**_common(each, now), "path": each.endpoint} for each in _last(api.login_ledger.received)
    ]
    budgets: list[JsonValue] = [
        {
            "account": each.account,
            "key": each.key,
            "label": each.label,
            "limit": each.limit,
            "used": each.used,
        }
        for each in api.counts.usage(now)
    ]
    settings = api.settings
    title = str(settings.get("title") or settings.get("name") or "API")
    state: JsonObject = {
        "title": title,
        "base_url": f"{api.origin}{api.base_path}",
        "total": len(api.ledger),
        "faults": dict(api.ledger.faults),
        "budgets": budgets,
        "requests": requests,
        "logins": logins,
    }
    secrets = {*api.credentials.secrets()}
    for each in _last(api.ledger.received):
        secrets.update(api.credentials.values_in(tuple(each.headers.items()), _pairs(each)))
    masked: JsonObject = json.loads(mask_secrets(json.dumps(state), secrets))
    return masked


def _last(received: tuple[Received, ...]) -> Iterable[Received]:
    return reversed(received[-_SHOWN:])


def _common(received: Received, now: float) -> JsonObject:
    return {
        "number": received.number,
        "seconds_ago": round(now - received.at, 1),
        "method": received.method,
        "user": received.user,
        "status": received.status,
        "fault": received.fault,
    }


def _entry(api: WatchedApi, received: Received, now: float) -> JsonObject:
    """A request without the parameters that hold a credential."""
    secret_params = api.credentials.names_in("param")
    shown = [(name, MASK if name in secret_params else value) for name, value in _pairs(received)]
    query = urlencode(shown, safe="*/:,")
    return {**_common(received, now), "path": received.endpoint, "query": query}


def _pairs(received: Received) -> list[tuple[str, str]]:
    return parse_qsl(received.query, keep_blank_values=True)
