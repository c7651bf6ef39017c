"""Responses: a `requests.Response` that shows its URL and request with secrets masked."""

from __future__ import annotations

import codecs
import json as jsonlib
from contextlib import aclosing, suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import requests
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from nango_py.errors import TransportFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from nango_py.attempt import Attempt
    from nango_py.json_types import JsonObject
    from nango_py.transport.http1 import Head
    from nango_py.transport.sendable import FailureReason, Sendable

CHUNK_SIZE = 65536
FIRST_ERROR_STATUS = 300
MAX_ERROR_BODY = 2**20

_STREAM_MESSAGES: dict[FailureReason, str] = {
    "too_large": "the streamed response is larger than max_response_bytes",
    "timeout": "the streamed response stopped: no more data in time",
    "truncated": "the streamed response is incomplete",
}


def is_streamed(request: Sendable, status: int) -> bool:
    """Whether to leave a body on the socket: only that of a success; others are read, to be judged."""
    return request.stream and status < FIRST_ERROR_STATUS


def max_body_size(request: Sendable) -> int:
    """Maximum size of a decoded body that is read at once; 0 for no limit."""
    return request.max_bytes or (MAX_ERROR_BODY if request.stream else 0)


class StreamFailed(TransportFailed, requests.exceptions.ChunkedEncodingError):
    """The body of a streamed response could not be read to its end; also an error of `requests`."""


class StreamBroken(Exception):
    """How the chunks of a `StreamedResponse` end if the body could not be read to its end."""

    def __init__(self, reason: FailureReason) -> None:
        self.reason = reason


if TYPE_CHECKING:
    _computed_once = cached_property
else:

    class _computed_once(cached_property):  # noqa: N801 - a decorator
        """A cached property without a lock.

        In Python 3.11 all responses share one, which a child that is forked while a thread computes would
        inherit locked.
        """

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value


class Response(requests.Response):
    """A `requests.Response` that costs little to make and is safe to log.

    `url` and `request` show credentials as `***`, so that neither `raise_for_status()` nor error trackers
    print them. Headers, cookies and other attributes are computed when they are first read.

    Attributes:
        attempts: one record for each attempt that led to this response.
        hint: what `raise_for_status()` adds to its message.
        get_state: gives `state`; None for a response that is not a page of `pages()`.
    """

    raw: Any

    def __init__(
        self,
        plan: Sendable,
        raw: Any,
        content: bytes | None,
        seconds: float,
        release: Callable[[], None] | None = None,
    ) -> None:
        # requests.Response.__init__ builds a cookie jar and a header dict that most callers never read.
        self._plan: Sendable | None = plan
        self._release = release
        self._content: Any = False if content is None else content
        self._content_consumed = content is not None
        self._next = None
        self.status_code: int = raw.status
        self.reason = str(raw.reason or "")
        self.elapsed = timedelta(seconds=seconds)
        self.history = []  # redirects are attempts
        self.raw = raw
        self.attempts: tuple[Attempt, ...] = ()
        self.hint = ""
        self.get_state: Callable[[], JsonObject] | None = None

    @property
    def state(self) -> JsonObject:
        """For a page of `pages()`: where to go on after it, as JSON for `state=`.

        Raises:
            AttributeError: the response is not a page of a list.
            RequestFailed: the page does not say how the list goes on, or its link holds a credential.
        """
        if self.get_state is None:
            raise AttributeError("only the responses of pages() have a state")
        return self.get_state()

    @_computed_once
    def headers(self) -> CaseInsensitiveDict[str]:  # type: ignore[override]  # it can be set
        """The response's headers; names are not case-sensitive."""
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for name, value in self.raw.headers.items():
            earlier = headers.get(name)
            # RFC 9110 section 5.3: several lines of one name are one list.
            headers[name] = value if earlier is None else f"{earlier}, {value}"
        return headers

    @_computed_once
    def encoding(self) -> str | None:  # type: ignore[override]  # it can be set
        """The text encoding that the headers name; can be set."""
        return get_encoding_from_headers(self.headers)

    @_computed_once
    def url(self) -> str:  # type: ignore[override]  # it can be set
        """The URL of the request, with credentials masked."""
        return "" if self._plan is None else self._plan.masked_url()

    @_computed_once
    def request(self) -> requests.PreparedRequest:  # type: ignore[override]  # it can be set
        """The request that was sent, with credentials masked."""
        masked = requests.PreparedRequest()
        masked.url = self.url
        if self._plan is not None:
            masked.method = self._plan.method
            masked.body = self._plan.body  # type: ignore[assignment] # a file or iterator, as in requests
            masked.headers = CaseInsensitiveDict(self._plan.masked_headers())
        masked.hooks = {"response": []}
        return masked

    @_computed_once
    def cookies(self) -> RequestsCookieJar:  # type: ignore[override]  # it can be set
        """The cookies that this response sets. They are not sent back."""
        cookies = RequestsCookieJar()
        if self.raw is not None and "set-cookie" in self.raw.headers:
            response, request = MockResponse(self.raw.headers), MockRequest(self.request)
            cookies.extract_cookies(response, request)  # type: ignore[arg-type]
        return cookies

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - the signature of requests
        """The decoded body in chunks; the connection is closed after the last one.

        Raises:
            StreamFailed: the body is incomplete, did not come in time, or exceeds max_response_bytes.
        """
        if self._content_consumed or self._plan is None:
            yield from super().iter_content(chunk_size, decode_unicode)
            return
        size = 0
        reason: FailureReason | None = None
        try:
            for chunk in super().iter_content(chunk_size, decode_unicode):
                size += len(chunk)
                if self._plan.max_bytes and size > self._plan.max_bytes:
                    reason = "too_large"
                    break
                yield chunk
        except requests.ConnectionError:  # how requests reports a read timeout
            reason = "timeout"
        except requests.RequestException:
            reason = "truncated"
        if reason:
            self.close()
            raise StreamFailed(_STREAM_MESSAGES[reason], reason=reason, response=self)
        self._free()

    def close(self) -> None:
        """Give up the part of a streamed body that was not read."""
        super().close()
        self._free()

    def _free(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()

    @property
    def text(self) -> str:
        """The body as text; UTF-8 if the headers name a codec that decodes none, such as `undefined`."""
        with suppress(UnicodeError):
            return super().text
        return self.content.decode(errors="replace")

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON.

        Raises:
            requests.exceptions.JSONDecodeError: the body is not JSON, or is nested too deeply for Python.
        """
        try:
            if self._content and self._content.startswith(codecs.BOM_UTF8):
                # RFC 8259 section 8.1 lets a parser ignore the mark; whatever the charset, it is UTF-8.
                with suppress(ValueError):
                    return jsonlib.loads(self.content.decode("utf-8-sig"), **kwargs)
            if not kwargs and self._content and "charset" not in self.content_type:
                try:
                    return jsonlib.loads(self._content)
                except ValueError:
                    pass  # the encoding may be another one
            return super().json(**kwargs)
        except RecursionError:
            pass
        raise requests.exceptions.JSONDecodeError("JSON is nested too deeply", "", 0)

    @property
    def content_type(self) -> str:
        """The header Content-Type, or ""."""
        headers = self.headers if "headers" in vars(self) else self.raw.headers  # not computed for this
        return str(headers.get("content-type", ""))

    def raise_for_status(self) -> None:
        """As in `requests`; the message also says when this API version is retired.

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
        state = {name: getattr(self, name) for name in self.__attrs__ if name not in {"_content", "request"}}
        return {**state, "_content": content, "attempts": self.attempts, "hint": self.hint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A plan holds credentials and is not pickled; what it masks is.
        self._plan = self.raw = self._release = None
        self.request = requests.PreparedRequest()
        for name, value in state.items():
            setattr(self, name, value)
        self._content_consumed = True


class StreamedResponse(Response):
    """A response with `stream=True` under asyncio: read it with `async for` over `aiter_content()`.

    Also an async context manager that closes the response.

    Args:
        chunks: the decoded body; may raise `StreamBroken`.
        aclose: closes the connection.
    """

    def __init__(
        self,
        plan: Sendable,
        head: Head,
        content: bytes | None,
        seconds: float,
        chunks: AsyncGenerator[bytes],
        aclose: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(plan, head, content, seconds)
        self._chunks = chunks
        self._aclose = aclose
        self._limit = plan.max_bytes
        self._is_closed = content is not None
        self._is_begun = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aiter_content(self, chunk_size: int = CHUNK_SIZE) -> AsyncIterator[bytes]:
        """The decoded body in chunks of at most `chunk_size` bytes, as they arrive.

        Raises:
            TransportFailed: the body is incomplete, did not come in time, or exceeds max_response_bytes.
            RuntimeError: another reader has begun to read it, and may have stopped or been cancelled.
        """
        if self._content_consumed:
            for chunk in self.iter_content(chunk_size):
                yield chunk
            return
        if self._is_begun:
            raise RuntimeError("the body is read only once, and reading it has begun; make the call again")
        self._is_begun = True
        size = 0
        reason: FailureReason | None = None
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if self._limit and size > self._limit:
                        reason = "too_large"
                        break
                    for start in range(0, len(chunk), chunk_size):
                        yield chunk[start : start + chunk_size]
        except StreamBroken as broken:
            reason = broken.reason
        finally:
            await self.aclose()
        if reason:
            raise TransportFailed(_STREAM_MESSAGES[reason], reason=reason, response=self)

    async def aread(self) -> bytes:
        """Read the whole body; afterwards `content`, `text` and `json()` work too.

        Raises:
            TransportFailed, RuntimeError: as `aiter_content`.
        """
        if not self._content_consumed:
            self._content = b"".join([chunk async for chunk in self.aiter_content()])
            self._content_consumed = True
        return self.content

    async def aclose(self) -> None:
        """Give up the part of the body that was not read."""
        self._is_closed = True
        await self._aclose()

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - the signature of requests
        """The body in chunks, after `aread()`.

        Raises:
            RuntimeError: the body was not read yet, and reading it would block the event loop.
        """
        if not self._content_consumed:
            raise RuntimeError(
                "read it with `async for chunk in response.aiter_content()` or `await response.aread()`"
            )
        return super().iter_content(chunk_size, decode_unicode)

    def close(self) -> None:
        """Does nothing once the response was read or closed.

        Raises:
            RuntimeError: it was not; `await response.aclose()` closes the connection.
        """
        if not (self._content_consumed or self._is_closed):
            raise RuntimeError("close this response with `await response.aclose()`")
