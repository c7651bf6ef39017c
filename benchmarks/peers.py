"""The peers, each as one authenticated GET with its JSON. One that is not installed is left out."""

from __future__ import annotations

import json
import logging
from importlib import metadata
from typing import TYPE_CHECKING, Any

from benchmarks.subject import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], Any]

HEADERS = {"Authorization": f"Bearer {KEY}", "Accept": "application/json"}
PATH = "/api/v1/metrics"
PARAMS = {"count": "50"}


def requests_session(base: str) -> Call:
    """The one that all are compared with."""
    import requests

    session = requests.Session()
    session.headers.update(HEADERS)
    return lambda: session.get(base + PATH, params=PARAMS).json()


def urllib3_pool(base: str) -> Call:
    """A bare pool: no retries, no limits."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=16)
    return lambda: json.loads(pool.request("GET", base + PATH, fields=PARAMS, headers=HEADERS).data)


def httpx_client(base: str) -> Call:
    """One client with its defaults."""
    import httpx

    client = httpx.Client(headers=HEADERS)
    return lambda: client.get(base + PATH, params=PARAMS).json()


def requests_ratelimiter(base: str) -> Call:
    """What a careful user of requests builds: urllib3's Retry and two windows."""
    import requests
    from requests.adapters import HTTPAdapter
    from requests_ratelimiter import LimiterMixin
    from urllib3.util import Retry

    class Session(LimiterMixin, requests.Session):  # type: ignore[misc]
        """Limited before it sends."""

    session = Session(per_second=100_000, per_minute=5_000_000)
    session.mount("http://", HTTPAdapter(max_retries=Retry(3, backoff_factor=0.5, status_forcelist=[503])))
    session.headers.update(HEADERS)
    return lambda: session.get(base + PATH, params=PARAMS, timeout=30).json()


def dlt_client(base: str) -> Call:
    """The REST client of dlt, with its retries."""
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

    client = RESTClient(base, headers={"Accept": "application/json"}, auth=BearerTokenAuth(KEY))
    return lambda: client.get(PATH, params=PARAMS).json()


def singer_stream(base: str) -> Call:
    """The records of a singer-sdk stream of one page."""
    from benchmarks.streams import singer

    stream = singer(base, PATH, PARAMS, key=KEY)
    return lambda: list(stream.request_records(None))


def airbyte_requester(base: str) -> Call:
    """The requester of Airbyte's low-code CDK with a budget of two windows."""
    from airbyte_cdk.sources.declarative.auth.token import BearerAuthenticator
    from airbyte_cdk.sources.declarative.requesters import HttpRequester
    from airbyte_cdk.sources.declarative.requesters.request_options import InterpolatedRequestOptionsProvider
    from airbyte_cdk.sources.streams.call_rate import HttpAPIBudget, MovingWindowCallRatePolicy, Rate

    from benchmarks.streams import StaticToken

    rates = [Rate(100_000, _seconds(1)), Rate(5_000_000, _seconds(60))]
    requester = HttpRequester(
        name="metrics", config={}, parameters={}, url_base=base, path=PATH, http_method="GET",
        authenticator=BearerAuthenticator(StaticToken(KEY), config={}, parameters={}),
        api_budget=HttpAPIBudget(policies=[MovingWindowCallRatePolicy(rates, matchers=[])]),
        request_options_provider=InterpolatedRequestOptionsProvider(
            request_parameters=PARAMS, config={}, parameters={}
        ),
    )  # fmt: skip

    def call() -> Any:
        response = requester.send_request()
        assert response is not None  # noqa: S101 - it is None for a response that is to be ignored
        return response.json()

    return call


def _seconds(count: int) -> Any:
    import datetime as dt

    return dt.timedelta(seconds=count)


PEERS: dict[str, tuple[str, Callable[[str], Call]]] = {
    "requests.Session": ("requests", requests_session),
    "urllib3 PoolManager": ("urllib3", urllib3_pool),
    "httpx.Client": ("httpx", httpx_client),
    "Session + Retry + requests-ratelimiter": ("requests-ratelimiter", requests_ratelimiter),
    "dlt RESTClient": ("dlt", dlt_client),
    "singer-sdk RESTStream": ("singer-sdk", singer_stream),
    "airbyte-cdk HttpRequester": ("airbyte-cdk", airbyte_requester),
}


def installed(base: str) -> tuple[dict[str, Call], list[str]]:
    """The calls of the peers that are here, and a note on the versions and on those that are not."""
    logging.getLogger("airbyte").setLevel(logging.WARNING)
    calls, versions, missing = {}, [], []
    for name, (package, make) in PEERS.items():
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
        else:
            calls[name] = make(base)
    notes = [f"Peers: {', '.join(versions)}."]
    if missing:
        notes.append(f"Not installed, so left out: {', '.join(missing)} (benchmarks/requirements.txt).")
    return calls, notes
