"""The response callers get: a requests.Response whose URL and request are shown with secrets masked."""

from __future__ import annotations

import json as jsonlib
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import requests
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from nango_py.errors import TransportFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.attempt import Attempt
    from nango_py.transport.sendable import Sendable

_NOT_YET: Any = object()

STREAM_ENDED = {
    "too_large": "the streamed answer is larger than max_response_bytes",
    "timeout": "the streamed answer fell silent",
    "truncated": "the streamed answer broke off",
}
"""What a stream's TransportFailed says, by its reason."""

FIRST_ERROR = 300
LARGEST_ERROR_BODY = 2**20


def is_streamed(plan: Sendable, status: int) -> bool:
    """Whether a body is left on the socket: only a good response's; others are read to be judged."""
    return plan.stream and status < FIRST_ERROR


def most_bytes(plan: Sendable) -> int:
    """The largest decoded body to read at once; 0 means any."""
    return plan.max_bytes or (LARGEST_ERROR_BODY if plan.stream else 0)


class StreamFailed(TransportFailed, requests.exceptions.ChunkedEncodingError):
    """The body of a stream was lost half way: an error of this package and of `requests` alike."""


class Response(requests.Response):
    """What `requests` returns, made cheaply and safe to log.

    `url` and `request` show credentials as `***`, so that `raise_for_status()` and error trackers do not
    print them. Headers, cookies and the rest are computed when they are asked for.

    Attributes:
        attempts: one record for each sending that led to this response.
    """

    _plan: Sendable | None
    raw: Any

    def __init__(
        self,
        plan: Sendable,
        raw: Any,
        content: bytes | None,
        seconds: float,
        release: Callable[[], None] | None = None,
    ) -> None:
        # requests.Response.__init__ builds a cookie jar and a header dict that most calls never look at.
        self._plan = plan
        self._seconds = seconds
        self._release = release
        self._content: Any = False if content is None else content
        self._content_consumed = content is not None
        self._next = None
        self.status_code: int = raw.status
        self.raw = raw
        self.attempts: tuple[Attempt, ...] = ()
        self.hint = ""
        self._headers: Any = _NOT_YET
        self._encoding: Any = _NOT_YET
        self._history: list[requests.Response] = []

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The response's headers, without regard to case."""
        if self._headers is _NOT_YET:
            self._headers = CaseInsensitiveDict()
            for name, value in self.raw.headers.items():
                known = self._headers.get(name)
                # RFC 9110 section 5.3: lines of one name are one list.
                self._headers[name] = value if known is None else f"{known}, {value}"
        return self._headers  # type: ignore[no-any-return]

    @headers.setter
    def headers(self, value: Any) -> None:
        self._headers = value

    @property
    def encoding(self) -> str | None:
        """The text encoding that the headers name; may be set."""
        if self._encoding is _NOT_YET:
            self._encoding = get_encoding_from_headers(self.headers)
        return self._encoding  # type: ignore[no-any-return]

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def url(self) -> str:
        """The URL that was asked, credentials masked."""
        return self._url if self._plan is None else self._plan.masked_url()

    @url.setter
    def url(self, value: str) -> None:
        self._url = value

    @property
    def reason(self) -> str:
        """The status line's words."""
        return self._reason if self.raw is None else str(self.raw.reason or "")

    @reason.setter
    def reason(self, value: str) -> None:
        self._reason = value

    @property
    def elapsed(self) -> timedelta:
        """From sending to the last byte of the response."""
        return timedelta(seconds=self._seconds)

    @elapsed.setter
    def elapsed(self, value: timedelta) -> None:
        self._seconds = value.total_seconds()

    @property
    def history(self) -> list[requests.Response]:
        """Empty: redirects are attempts; see `attempts`."""
        return self._history

    @history.setter
    def history(self, value: list[requests.Response]) -> None:
        self._history = value

    @property
    def request(self) -> requests.PreparedRequest:
        """The request that was sent, credentials masked."""
        if "_request" not in vars(self):
            shown = requests.PreparedRequest()
            shown.url = self.url
            if self._plan is not None:
                shown.method = self._plan.method
                shown.body = self._plan.body  # type: ignore[assignment] # a file or iterator, as in requests
                shown.headers = CaseInsensitiveDict(self._plan.masked_headers())
            shown.hooks = {"response": []}
            self._request = shown
        return self._request

    @request.setter
    def request(self, value: requests.PreparedRequest) -> None:
        self._request = value

    @property
    def cookies(self) -> RequestsCookieJar:
        """The cookies of this response. They are not sent back: an API client keeps none."""
        if "_cookies" not in vars(self):
            self._cookies = RequestsCookieJar()
            if self.raw is not None and "set-cookie" in self.raw.headers:
                response, question = MockResponse(self.raw.headers), MockRequest(self.request)
                self._cookies.extract_cookies(response, question)  # type: ignore[arg-type]
        return self._cookies

    @cookies.setter
    def cookies(self, value: RequestsCookieJar) -> None:
        self._cookies = value

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - the signature of requests
        """The decoded body piece by piece; the connection is closed after the last.

        Raises:
            StreamFailed: a stream broke off, fell silent, or is larger than max_response_bytes.
        """
        if self._content_consumed or self._plan is None:
            yield from super().iter_content(chunk_size, decode_unicode)
            return
        size, reason = 0, ""
        try:
            for chunk in super().iter_content(chunk_size, decode_unicode):
                size += len(chunk)
                if self._plan.max_bytes and size > self._plan.max_bytes:
                    reason = "too_large"
                    break
                yield chunk
        except requests.RequestException as error:
            # requests has one class for silence, and another for a stream that broke off.
            silent = isinstance(error, requests.ConnectionError)
            reason = "timeout" if silent else "truncated"
        if reason:
            self.close()
            raise StreamFailed(STREAM_ENDED[reason], reason=reason, response=self)
        self._free()

    def close(self) -> None:
        """Give up what was not read of a stream."""
        super().close()
        self._free()

    def _free(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()

    def _content_type(self) -> str:
        """As the response says it; the whole of `headers` is not made for it."""
        known = self.raw.headers if self._headers is _NOT_YET else self._headers
        return str(known.get("content-type", ""))

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON.

        Raises:
            requests.exceptions.JSONDecodeError: it is not JSON, or nested more deeply than Python reads.
        """
        try:
            if not kwargs and self._content and "charset" not in self._content_type():
                with suppress(ValueError):
                    return jsonlib.loads(self._content)
            return super().json(**kwargs)
        except RecursionError:
            pass
        raise requests.exceptions.JSONDecodeError("JSON is nested too deeply", "", 0)

    def raise_for_status(self) -> None:
        """As in `requests`; the text says where to go when this API version is over.

        Raises:
            requests.HTTPError: the status is 400 or above.
        """
        failed = None
        try:
            super().raise_for_status()
        except requests.HTTPError as error:
            failed = error
        if failed is not None:
            text = f"{failed}; {self.hint}" if self.hint else str(failed)
            raise requests.HTTPError(text, response=self)

    def __getstate__(self) -> dict[str, Any]:
        content = self.content
        shown = {name: getattr(self, name) for name in self.__attrs__ if name not in {"_content", "request"}}
        return {**shown, "_content": content, "attempts": self.attempts, "hint": self.hint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A plan holds credentials and stays behind; what it showed comes along.
        self._plan = self.raw = self._release = None
        self._request = requests.PreparedRequest()
        for name, value in state.items():
            setattr(self, name, value)
        self._content_consumed = True
