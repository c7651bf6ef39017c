"""What a transport takes and gives back, besides responses: `Sendable` requests and `Failure`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import IO

    from nango_py.transport.addresses import Guard
    from nango_py.transport.certificates import Certificate
    from nango_py.transport.proxy_tunnel import Proxy

    StreamedBody = IO[bytes] | IO[str] | Iterable[bytes | str]
    """A body that is read while it is sent."""

    Body = bytes | StreamedBody | None


class SocketSettings(Protocol):
    """The part of a connection's settings that decides which sockets its requests may use."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts to mask in the log records of HTTP libraries."""

    @property
    def client_certificate(self) -> Certificate | None:
        """The certificate to present over TLS."""

    @property
    def guard(self) -> Guard | None:
        """The networks that the host may resolve to; None if the configuration names the host."""

    @property
    def proxy(self) -> Proxy | None:
        """The proxy to tunnel https through."""

    @property
    def needs_own_pool(self) -> bool:
        """Whether there is a certificate, guard or proxy, so that the common pool must not be used."""


class Sendable(Protocol):
    """A rendered request: the plan of a call, or of a token request."""

    @property
    def method(self) -> str:
        """The HTTP method, in upper case."""

    @property
    def url(self) -> str:
        """The absolute URL, with credentials."""

    @property
    def headers(self) -> Mapping[str, tuple[str, str]]:
        """By lower-case name: (name as written, value)."""

    @property
    def body(self) -> Body:
        """The body, or None."""

    @property
    def settings(self) -> SocketSettings:
        """The settings of the connection that the request is sent for."""

    @property
    def connect_seconds(self) -> float:
        """Timeout for connecting."""

    @property
    def read_seconds(self) -> float:
        """Timeout for the next bytes of the response."""

    @property
    def max_bytes(self) -> int:
        """Maximum size of the decoded response body; 0 for no limit."""

    @property
    def stream(self) -> bool:
        """Whether to leave the body of a successful response on the socket."""

    def masked_url(self) -> str:
        """The URL with credentials shown as `***`."""

    def masked_headers(self) -> Mapping[str, str]:
        """The headers with credentials shown as `***`."""


FailureReason = Literal[
    "dns",  # the host name could not be resolved
    "connect",  # no TCP connection
    "tls",  # no trusted TLS connection
    "proxy",  # the proxy refuses the tunnel, and would refuse the next one
    "blocked",  # a host that a user named resolves to a network that is not allowed
    "timeout",  # no complete response within the time for the attempt
    "reset",  # the server closed the connection before it sent a response
    "truncated",  # the response is incomplete
    "too_large",  # the response is larger than max_response_bytes
    "protocol",  # the response is not HTTP
]

_MESSAGES: dict[FailureReason, str] = {
    "dns": "the host name {} could not be resolved",
    "connect": "could not connect to {}",
    "tls": "no trusted TLS connection to {}",
    "proxy": "the proxy refuses to connect to {}",
    "timeout": "no complete response from {} in time",
    "reset": "{} closed the connection",
    "truncated": "the response from {} is incomplete",
    "too_large": "the response from {} is larger than max_response_bytes",
    "protocol": "the response from {} is not valid HTTP",
}


@record
class Failure:
    """An attempt that got no usable response.

    Attributes:
        reason: what went wrong.
        sent: whether the API may have received the request.
        text: one line for people, without query parameters and headers.
    """

    reason: FailureReason
    sent: bool
    text: str

    @classmethod
    def of(cls, reason: FailureReason, host: str, *, sent: bool, detail: str = "") -> Failure:
        """The failure with the usual message for its reason."""
        text = _MESSAGES[reason].format(host)
        return cls(reason, sent, f"{text}: {detail}" if detail else text)
