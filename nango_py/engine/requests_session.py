"""A requests.Session for SDKs that accept one: their calls are authenticated, paced and retried."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from nango_py.engine.executor import Executor


class Session(requests.Session):
    """Sends every request through an executor.

    A path without a host is relative to the blueprint's base URL; an absolute URL must have the API's origin.
    The blueprint's auth header and parameters replace those of the SDK. A final 429 is returned, as SDKs
    expect. If there is no response, `requests.ConnectionError` or `requests.Timeout` is raised, so that the
    SDK's own handling works; its attribute `nango_error` is the NangoError.
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self.trust_env = False
        self._executor = executor

    def request(  # type: ignore[override]  # passed on as they are
        self, method: str, url: str, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """As `requests.Session.request`; `url` may be a path below the base URL."""
        if not ABSOLUTE.match(str(url)):
            url = self._executor.base_url + str(url).lstrip("/")
        return super().request(method, url, *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request as the executor would."""
        failed: Exception | None = None
        try:
            response = self._send(request, kwargs)
        except Exception as error:  # noqa: BLE001 - translated for callers that know only requests
            failed = error
        if failed is not None:
            raise _translate(failed)
        for hook in request.hooks.get("response", []):
            response = hook(response, **kwargs) or response
        return response

    def _send(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        timeout = kwargs.get("timeout")
        return self._executor.send_url(
            request.method or "GET",
            (request.url or "").partition("#")[0],
            headers=dict(request.headers),
            data=request.body,
            # (3, None) has no meaning for a call: the blueprint's timeouts apply.
            timeout=None if isinstance(timeout, tuple) and None in timeout else timeout,
            stream=bool(kwargs.get("stream")),
        )


ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def _translate(error: Exception) -> Exception:
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
