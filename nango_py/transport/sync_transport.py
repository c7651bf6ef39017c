"""Sends a request once and names what went wrong: the sync transport."""

from __future__ import annotations

import io
import math
import os
import threading
import time
import weakref
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import urllib3
import urllib3.exceptions

from nango_py.secret import live_secrets, mask_library_loggers
from nango_py.transport.certificates import TlsContexts
from nango_py.transport.decoding import decoder_of
from nango_py.transport.exchange import (
    EXPECTED_ERRORS,
    Progress,
    connect,
    exchange,
    name_failure,
    read_body,
    read_piece,
    without_inner_frames,
)
from nango_py.transport.http1 import CutOffError, MalformedError
from nango_py.transport.lookups import Lookups, system_look_up
from nango_py.transport.pools import IdleWires, pool_key
from nango_py.transport.response import Response, is_streamed, max_body_size
from nango_py.transport.sockets import SocketWire, open_socket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Hashable, Iterator
    from typing import Any

    from nango_py.transport.decoding import Decoding
    from nango_py.transport.http1 import ResponseParser
    from nango_py.transport.lookups import AddressInfo, LookUp
    from nango_py.transport.sendable import Failure, Sendable
    from nango_py.transport.tape import Tape

SWEEP_SECONDS = 1.0
"""How often idle connections are looked at, while there are any."""

R = TypeVar("R")


class Transport:
    """The connections of one process; safe to share between threads, and empty again after a fork.

    No proxy, netrc or certificate setting is taken from the environment. TLS is 1.2 or newer and always
    checked. Redirects and retries are left to the caller.

    Args:
        ca_bundle: a file of trusted certificates to use instead of certifi's.
        look_up: returns the addresses of a name; the system's resolver by default.
    """

    def __init__(self, ca_bundle: str | None = None, look_up: LookUp = system_look_up) -> None:
        self._contexts = TlsContexts(ca_bundle)
        # Separate, so that names of users which never resolve do not delay other lookups.
        self._lookups = Lookups(look_up), Lookups(look_up)
        self._idle = _Idle()
        self._pid = os.getpid()
        self.tape: Tape | None = None
        mask_library_loggers()

    def use_tape(self, tape: Tape | None) -> None:
        """Send by a tape, or by the network again for None. Without a tape it costs nothing."""
        self.tape = tape
        vars(self).pop("send", None)
        if tape is not None:
            vars(self)["send"] = partial(tape.send, send=self.send)

    def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request once, within a time.

        Whatever goes wrong is returned as a Failure, without the message of a library.
        """
        started = time.monotonic()
        secrets = live_secrets.set(plan.settings.secrets)
        if self._pid != os.getpid():
            # A forked child must neither write into its parent's sockets nor close their TLS sessions.
            self._idle, self._pid = _Idle(), os.getpid()
        key = pool_key(plan)
        wire: SocketWire | None = self._idle.wires.take(key)
        deadline = started + seconds
        try:
            if wire is None:
                network = _Network(self._contexts, self._lookups, plan.connect_seconds, deadline)
                wire = _run(connect(network, plan))
            wire.begin(deadline, plan.read_seconds)
            parser = _run(exchange(wire, plan))
            head = parser.head
            assert head is not None  # noqa: S101 - it was read
            if is_streamed(plan, head.status):
                wire.deadline = math.inf  # the reader of a stream may take its time
                end = partial(self._idle.end, key, wire, parser)
                return Response(plan, _as_raw(wire, parser), None, time.monotonic() - started, end)
            content = _run(read_body(wire, parser, max_body_size(plan)))
            self._idle.end(key, wire, parser)
            return Response(plan, head, content, time.monotonic() - started)
        except EXPECTED_ERRORS as error:
            sent = wire is not None and wire.has_sent
            progress = Progress(sent=sent, is_late=time.monotonic() >= deadline)
            if wire is not None:
                wire.close()
            return name_failure(error, plan, progress)
        except BaseException as error:  # noqa: BLE001 - raised again
            if wire is not None:
                wire.close()
            # A caller's iterator failed, or Ctrl-C: the frames below hold the rendered request.
            raise without_inner_frames(error)  # noqa: B904 - it is the same one
        finally:
            live_secrets.reset(secrets)

    def close(self) -> None:
        """Close all idle connections; the transport can still be used."""
        if self._pid == os.getpid():  # a forked child leaves those of its parent alone
            self._idle.wires.clear()


class _Idle:
    """The idle connections; a thread looks after them while there are any."""

    def __init__(self) -> None:
        self.wires: IdleWires[SocketWire] = IdleWires(time.monotonic)

    def end(self, key: Hashable, wire: SocketWire, parser: ResponseParser) -> None:
        """Keep a connection for the next request, or close it."""
        if not parser.is_reusable:
            wire.close()
            return
        if not self.wires.give_back(key, wire):
            sweeper = threading.Thread(
                target=_sweep, args=(weakref.ref(self.wires),), name="nango-idle", daemon=True
            )
            try:
                sweeper.start()
            except RuntimeError:  # the system has no thread left, or the interpreter ends
                self.wires.is_swept = False


def _sweep(get_wires: weakref.ref[IdleWires[SocketWire]]) -> None:
    """Close connections that are too old, or that the server has closed, until none is left."""
    while True:
        time.sleep(SWEEP_SECONDS)
        wires = get_wires()
        if wires is None or not wires.sweep():
            return
        del wires


class _Network:
    """Opens the connection of one attempt."""

    __slots__ = ("_connect_seconds", "_contexts", "_lookups", "_user_lookups", "deadline")

    def __init__(
        self, contexts: TlsContexts, lookups: tuple[Lookups, Lookups], connect_seconds: float, deadline: float
    ) -> None:
        self._contexts = contexts
        self._lookups, self._user_lookups = lookups
        self._connect_seconds = connect_seconds
        self.deadline = deadline

    async def resolve(self, host: str, port: int, *, is_named_by_user: bool) -> list[AddressInfo]:
        lookups = self._user_lookups if is_named_by_user else self._lookups
        return lookups.resolve(host, port, self._left())

    async def open(self, address: AddressInfo) -> SocketWire:
        sock = open_socket(address, self._left())
        return SocketWire(sock, self.deadline, self._connect_seconds)

    def context_for(self, request: Sendable) -> ssl.SSLContext:
        return self._contexts.get(request.settings.client_certificate)

    def _left(self) -> float:
        return max(0.001, min(self._connect_seconds, self.deadline - time.monotonic()))


def _run(steps: Coroutine[object, None, R]) -> R:
    """Run steps that never suspend."""
    try:
        steps.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    raise AssertionError("a step of a sync call was suspended")


def _as_raw(wire: SocketWire, parser: ResponseParser) -> urllib3.HTTPResponse:
    """What `requests` calls `raw`: the body of a streamed response, decoded by our decoders."""
    head = parser.head
    assert head is not None  # noqa: S101 - it was read
    decoder = decoder_of(head.headers)
    raw = _Raw(
        body=_EncodedBody(wire, parser, decoder),
        headers=urllib3.HTTPHeaderDict(head.headers.items()),
        status=head.status,
        reason=head.reason,
        preload_content=False,
    )
    if decoder is not None:
        raw.use(decoder)
    return raw


class _Raw(urllib3.HTTPResponse):
    """A response of urllib3 with a decoder of ours: a compressed body that is cut off is an error."""

    def use(self, decoder: Decoding) -> None:
        self._decoder = _PulledDecoder(decoder)  # type: ignore[assignment] # it has what urllib3 calls

    def _init_decoder(self) -> None:
        """Keep ours."""


class _EncodedBody(io.RawIOBase):
    """The body of a streamed response as it arrives."""

    def __init__(self, wire: SocketWire, parser: ResponseParser, decoder: Decoding | None) -> None:
        self._wire = wire
        self._parser = parser
        self._decoder = decoder
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(_run(read_piece(self._wire, self._parser)))
            if not self._rest and self._decoder is not None:
                self._decoder.finish()
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)

    def fileno(self) -> int:
        return self._wire.sock.fileno()


class _PulledDecoder:
    """A decoder with the methods that urllib3 calls."""

    def __init__(self, decoder: Decoding) -> None:
        self._decoder = decoder
        self._pieces: Iterator[bytes] = iter(())
        self._next = b""

    @property
    def has_unconsumed_tail(self) -> bool:
        return bool(self._next)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self._pieces = chain(self._pieces, self._decoder.decode(data))
        found, self._next = [self._next], b""
        size = len(found[0])
        try:
            for piece in self._pieces:
                if 0 <= max_length <= size:
                    self._next = piece
                    break
                found.append(piece)
                size += len(piece)
        except MalformedError as error:
            raise urllib3.exceptions.DecodeError(str(error)) from None
        return b"".join(found)

    def flush(self) -> bytes:
        try:
            self._decoder.finish()
        except CutOffError as error:
            raise urllib3.exceptions.DecodeError(str(error)) from None
        return b""
