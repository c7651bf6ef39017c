"""An adapter that makes an ordinary `requests.Session` authenticated, paced and retried, and that session."""

from __future__ import annotations

import copy
import io
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import requests
import requests.adapters
import urllib3

from nango_py.engine.library_errors import as_library_error, failure_kind
from nango_py.engine.library_requests import check_library_path
from nango_py.engine.requests_transport import SESSION_SETTINGS
from nango_py.errors import InvalidRequest, NangoError, TransportFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from nango_py.engine.executor import Executor
    from nango_py.engine.requests_transport import RequestsTransport
    from nango_py.transport.response import Response

ABSOLUTE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:(?:[/\\]|[0-9]+(?:/|$))|https?:)", re.IGNORECASE)
"""A scheme, or a host with a port. `items:batchGet` is a path."""

FIRST_UNSTREAMED = 300

AnySession = TypeVar("AnySession", bound=requests.Session)


class MalformedResponse(
    requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.exceptions.InvalidHeader
):
    """What requests raises for a response that is not valid HTTP: one of these three, by its place."""


ERRORS = {
    "malformed": MalformedResponse,
    "timeout": requests.ReadTimeout,
    "connect_timeout": requests.ConnectTimeout,
    "tls": requests.exceptions.SSLError,
    "proxy": requests.exceptions.ProxyError,
    "truncated": requests.exceptions.ChunkedEncodingError,
    "invalid": requests.exceptions.InvalidURL,
    "unreachable": requests.ConnectionError,
}
"""What requests raises for each kind of failure; everything else is a plain RequestException."""


class Adapter(requests.adapters.HTTPAdapter):
    """Sends the requests of a `requests.Session` as an executor does; mount it at the API's origins.

    The session keeps what belongs to it: redirects, history, cookies, hooks, other hosts. A response is the
    one that requests would make, with its record of `attempts`; a last 429 is returned. Errors are those of
    requests and of this package at the same time. The connection's credentials replace `Authorization`; they
    are in no request, response or error.

    Attributes:
        base_url: the blueprint's base URL; a credential in it is shown as `***`, also in requests.
        prefixes: of the API's URLs, for `Session.mount`.

    Test tools that replace `HTTPAdapter.send` (responses), `Session.get_adapter` (requests-mock) or the
    connections of urllib3 (vcrpy) replace them here too.
    """

    def __init__(self, executor: Executor, transport: RequestsTransport) -> None:
        super().__init__()
        self.executor = executor
        self._transport = transport
        self.base_url, origins = executor.library_base()
        self.prefixes = tuple(prefix for origin in sorted(origins) for prefix in _prefixes(*origin))

    def mount_on(self, session: AnySession) -> AnySession:
        """Mount this adapter at the API's origins, and return the session."""
        for prefix in self.prefixes:
            session.mount(prefix, self)
        return session

    def send(  # noqa: D102 - the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        settings = SESSION_SETTINGS
        settings.stream, settings.verify, settings.cert, settings.proxies = stream, verify, cert, proxies
        try:
            # It calls urlopen() of what the next method returns, unless a test tool has replaced it.
            return super().send(request, stream, timeout, verify, cert, proxies)
        except NangoError as error:
            failed = error.with_traceback(None)
        kind = ERRORS.get(failure_kind(failed), requests.RequestException)
        raise as_library_error(failed, kind, request)

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        """The place of urllib3's connection pool."""
        return _Connection(self.executor, request)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """As in requests, with the record of `attempts`."""
        response = super().build_response(req, resp)
        vars(response)["attempts"] = getattr(resp, "attempts", ())
        return response

    def close(self) -> None:
        """Close the connections that were opened for this adapter alone; it can still be used."""
        super().close()
        self._transport.close()

    def __copy__(self) -> Adapter:
        return self

    def __deepcopy__(self, _memo: object) -> Adapter:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "this adapter holds a user's credentials and cannot be pickled; "
            "pickle the integration and the user_id, and call nango.session() there"
        )


def _prefixes(scheme: str, host: str, port: int) -> Iterator[str]:
    # The slash keeps "https://api.example.com.evil.test" out.
    netloc = f"[{host}]" if ":" in host else host
    yield f"{scheme}://{netloc}:{port}/"
    if port == {"https": 443, "http": 80}[scheme]:
        yield f"{scheme}://{netloc}/"


class _Connection:
    """Sends one request of an adapter; `cert_verify` of requests sets the attributes."""

    cert_reqs: str | None = None
    ca_certs: str | None = None
    ca_cert_dir: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __init__(self, executor: Executor, request: requests.PreparedRequest) -> None:
        self._executor = executor
        self._request = request

    def urlopen(self, *, timeout: urllib3.Timeout, **_options: object) -> urllib3.HTTPResponse:
        """Send the request by the engine, with its retries and waits."""
        request, is_streamed = self._request, SESSION_SETTINGS.stream
        if SESSION_SETTINGS.verify is False and (request.url or "").lower().startswith("https:"):
            raise InvalidRequest("verify=False is not possible: TLS certificates are always checked")
        found = self._executor.send_url(
            request.method or "GET",
            (request.url or "").partition("#")[0],
            headers=dict(request.headers),
            data=request.body,
            timeout=_seconds(timeout),
            stream=is_streamed,
        )
        return RawResponse(found, is_streamed=is_streamed and found.status_code < FIRST_UNSTREAMED)


def _seconds(timeout: urllib3.Timeout) -> tuple[float | None, float | None]:
    """Seconds for connecting and for each read; None for the blueprint's."""
    started = timeout.clone()
    started.start_connect()
    return _number(timeout.connect_timeout), _number(started.read_timeout)


def _number(seconds: object) -> float | None:
    """The seconds; None if there is no limit (which urllib3 has a sign for)."""
    return float(seconds) if isinstance(seconds, int | float) else None


class RawResponse(urllib3.HTTPResponse):
    """`Response.raw`: the body is decoded already, and its connection is the engine's."""

    def __init__(self, found: Response, *, is_streamed: bool) -> None:
        headers = found.raw.headers
        super().__init__(
            body=_Body(found) if is_streamed else io.BytesIO(found.content),
            headers=urllib3.HTTPHeaderDict(headers.items()),
            status=found.status_code,
            version=11,
            reason=found.reason,
            preload_content=False,
            # requests reads cookies from it.
            original_response=SimpleNamespace(  # type: ignore[arg-type]
                msg=headers, close=lambda: None, isclosed=lambda: False
            ),
            enforce_content_length=False,
        )
        self.attempts = found.attempts
        self._pieces = found.iter_content if is_streamed else None

    def read(
        self,
        amt: int | None = None,
        decode_content: bool | None = None,  # noqa: FBT001 - the signature of urllib3
        cache_content: bool = False,  # noqa: FBT001, FBT002
    ) -> bytes:
        """Bytes of the decoded body."""
        return super().read(amt, decode_content=False, cache_content=cache_content)

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Generator[bytes]:  # noqa: FBT001 - the signature of urllib3
        """The decoded body as it arrives."""
        if self._pieces is None:
            yield from super().stream(amt, decode_content=False)
            return
        failed: TransportFailed | None = None
        try:
            yield from self._pieces(amt)
        except TransportFailed as error:
            failed = error
        if failed is not None:
            raise _as_urllib3(failed)


def _as_urllib3(error: TransportFailed) -> urllib3.exceptions.HTTPError:
    """The error from which requests makes ChunkedEncodingError or, after a timeout, ConnectionError."""
    if error.reason == "timeout":
        return urllib3.exceptions.ReadTimeoutError(None, "", str(error))  # type: ignore[arg-type]
    return urllib3.exceptions.ProtocolError(str(error))


class _Body(io.RawIOBase):
    """A streamed body as a file."""

    def __init__(self, found: Response) -> None:
        self._found = found
        self._pieces: Iterator[bytes] | None = None
        self._rest = b""

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        if self._pieces is None:
            self._pieces = self._found.iter_content(65536)
        piece = self._rest or next(self._pieces, b"")
        size = min(len(piece), len(buffer))
        buffer[:size], self._rest = piece[:size], piece[size:]
        return size

    def close(self) -> None:
        """Give up what was not read."""
        if not self.closed:
            self._found.close()
        super().close()


class Session(requests.Session):
    """An ordinary `requests.Session` with an adapter mounted at the API's origins.

    A path without a host is relative to the blueprint's base URL. The path is checked as it was given, before
    requests resolves `..` in it.
    """

    __attrs__ = [*requests.Session.__attrs__, "adapter"]  # noqa: RUF012 - as in requests

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        self.adapter = adapter
        adapter.mount_on(self)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As in requests.

        Raises:
            InvalidRequest: the path may lead out of the API; also a `requests.RequestException`.
        """
        request = copy.copy(request)
        failed: InvalidRequest | None = None
        try:
            request.url = self._full_url(request.url)
        except InvalidRequest as error:
            failed = error.with_traceback(None)
        if failed is not None:
            raise as_library_error(failed, requests.exceptions.InvalidURL, None)
        return super().prepare_request(request)

    def _full_url(self, url: Any) -> str:
        text = url.decode() if isinstance(url, bytes) else str(url)
        path, mark, fragment = text.partition("#")
        if not ABSOLUTE.match(path):
            return check_library_path(self.adapter.base_url, path) + mark + fragment
        scheme, mark, rest = path.strip().partition("://")
        authority, slash, rest = rest.replace("\\", "/").partition("/")
        _, at, host = authority.rpartition("@")
        if f"{scheme}{mark}{host.partition('?')[0]}/".lower().startswith(self.adapter.prefixes):
            if at:
                raise InvalidRequest("a URL with a user name: the credentials are those of the connection")
            check_library_path("", slash + rest.partition("?")[0])
        return text
