"""A requests.Session for code that brings its own client: SDKs become paced, retried and authenticated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import requests

from nango_py.engine.plan import follow
from nango_py.errors import InvalidRequest

if TYPE_CHECKING:
    from nango_py.engine.executor import Executor
    from nango_py.engine.plan import Plan


class Session(requests.Session):
    """Sends every request through an executor.

    A path without a host is taken below the blueprint's base URL; a URL must have the API's origin. The
    blueprint's auth header and parameters replace what the SDK sets. A last 429 is a response here, as SDKs
    expect; what has no response raises `requests.ConnectionError` or `requests.Timeout`, so that an SDK's own
    handling works, with the NangoError as its `nango_error`.
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self.trust_env = False
        self._executor = executor

    def request(  # type: ignore[override]  # the options of requests, whatever they are
        self, method: str, url: str, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """As `requests.Session.request`; `url` may be a path below the base URL."""
        if not ABSOLUTE.match(str(url)):
            url = self._executor.base_url + str(url).lstrip("/")
        return super().request(method, url, *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request as the executor would."""
        failed = None
        try:
            response = self._executor.send_plan(self._planned(request, kwargs), returns_limited=True)
        except Exception as error:  # noqa: BLE001 - translated for who knows only requests
            failed = error
        if failed is not None:
            raise _translated(failed)
        for hook in request.hooks.get("response", []):
            response = hook(response, **kwargs) or response
        return response

    def _planned(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> Plan:
        """The plan of a prepared request; whole where it lies below the base URL, else of its own parts."""
        url = (request.url or "").partition("#")[0]
        base = self._executor.base_url
        is_below = url.startswith(base)
        plan = self._executor.ready_plan(
            request.method or "GET",
            url[len(base) :] if is_below else "",
            headers=dict(request.headers),
            data=request.body,
            timeout=_timeout(kwargs.get("timeout")),
            stream=bool(kwargs.get("stream")),
        )
        if is_below:
            return plan
        reached = plan.stamp.reach(url, url)
        if reached is not None:
            return follow(plan, reached)
        raise InvalidRequest(
            f"this session is for {plan.stamp.masked_base()} and sends its credentials nowhere else"
        )


ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def _timeout(value: Any) -> Any:
    """The timeout of `requests` as a call takes it; half-open pairs fall back to the blueprint's."""
    if isinstance(value, tuple) and None in value:
        return None
    return value


def _translated(error: Exception) -> Exception:
    from nango_py.errors import DeadlineExceeded, TransportFailed

    kind: type[requests.RequestException]
    if isinstance(error, DeadlineExceeded) or (
        isinstance(error, TransportFailed) and error.reason == "timeout"
    ):
        kind = requests.Timeout
    elif isinstance(error, TransportFailed):
        kind = requests.ConnectionError
    else:
        return error
    translated = kind(str(error))
    vars(translated)["nango_error"] = error
    return translated
