"""Sends a request once without blocking the event loop: the async transport."""

from __future__ import annotations

import asyncio
import math
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from nango_py.secret import live_secrets, mask_library_loggers
from nango_py.transport.async_sockets import AsyncWire, open_wire
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
from nango_py.transport.lookups import Lookups, system_look_up
from nango_py.transport.pools import IdleWires, pool_key
from nango_py.transport.response import Response, StreamBroken, StreamedResponse, is_streamed, max_body_size

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Hashable

    from nango_py.transport.http1 import Head, ResponseParser
    from nango_py.transport.lookups import AddressInfo, LookUp
    from nango_py.transport.sendable import Failure, Sendable
    from nango_py.transport.tape import Tape

MAX_ACTIVE = 1000
"""Calls in flight per event loop; further calls wait within their own time."""

SWEEP_SECONDS = 1.0
"""How often idle connections are looked at, while there are any."""


class AsyncTransport:
    """The connections of one process, separate for each event loop, and empty again after a fork.

    No proxy, netrc or certificate setting is taken from the environment. TLS is 1.2 or newer and always
    checked. Redirects and retries are left to the caller.

    Args:
        ca_bundle: a file of trusted certificates to use instead of certifi's.
        look_up: returns the addresses of a name; the system's resolver by default.
    """

    def __init__(self, ca_bundle: str | None = None, look_up: LookUp = system_look_up) -> None:
        self._contexts = TlsContexts(ca_bundle)
        # Separate, so that names of users which never resolve do not delay other lookups.
        self._lookups, self._user_lookups = Lookups(look_up), Lookups(look_up)
        self._loops: dict[asyncio.AbstractEventLoop, _LoopWires] = {}
        self._pid = os.getpid()
        mask_library_loggers()

    def use_tape(self, tape: Tape | None) -> None:
        """Send by a tape, or by the network again for None. Without a tape it costs nothing."""
        vars(self).pop("send", None)
        if tape is not None:
            vars(self)["send"] = partial(tape.send_async, send=self.send)

    async def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request once, within a time.

        Whatever goes wrong is returned as a Failure; only a cancellation, and an error of the caller's body,
        are raised.
        """
        started = time.monotonic()
        secrets = live_secrets.set(plan.settings.secrets)
        attempt = _Attempt(self, plan)
        try:
            return await attempt.run(started, seconds)
        except EXPECTED_ERRORS as error:
            attempt.close()
            progress = Progress(sent=attempt.has_sent, is_late=time.monotonic() - started >= seconds)
            return name_failure(error, plan, progress)
        except BaseException as error:  # noqa: BLE001 - raised again
            attempt.close()
            # Cancelled, or a caller's iterator failed: the frames below hold the rendered request.
            raise without_inner_frames(error)  # noqa: B904 - it is the same one
        finally:
            live_secrets.reset(secrets)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        wires = self._loops.get(asyncio.get_running_loop())
        if wires is not None:
            await wires.closer.aclose()

    async def wires_of_loop(self) -> _LoopWires:
        """The connections of the running event loop."""
        if self._pid != os.getpid():
            # A forked child must not write into its parent's sockets.
            self._loops, self._pid = {}, os.getpid()
        loop = asyncio.get_running_loop()
        wires = self._loops.get(loop)
        if wires is None:
            for other in list(self._loops):  # a copy, because those of other threads come and go
                if other.is_closed():
                    self._loops.pop(other, None)
            wires = self._loops[loop] = _LoopWires(loop, self._loops)
            await anext(wires.closer)
        return wires

    async def resolve(
        self, host: str, port: int, seconds: float, *, is_named_by_user: bool
    ) -> list[AddressInfo]:
        """The addresses of a host, or socket.gaierror."""
        lookups = self._user_lookups if is_named_by_user else self._lookups
        return await lookups.resolve_async(host, port, seconds)

    def context_for(self, request: Sendable) -> ssl.SSLContext:
        """The TLS settings for a request."""
        return self._contexts.get(request.settings.client_certificate)


class _LoopWires:
    """The connections of one event loop: all that are open, and which of them are idle."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, loops: dict[asyncio.AbstractEventLoop, _LoopWires]
    ) -> None:
        self.idle: IdleWires[AsyncWire] = IdleWires(time.monotonic)
        self.places = asyncio.Semaphore(MAX_ACTIVE)
        # asyncio.run() closes open async generators, and so the connections that nothing else closed.
        self.closer = self._close_at_end()
        self._loop = loop
        self._loops = loops
        self._open: set[AsyncWire] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, address: AddressInfo, seconds: float) -> AsyncWire:
        wire = await open_wire(address, seconds, self._forget)
        self._open.add(wire)
        return wire

    def give_back(self, key: Hashable, wire: AsyncWire) -> None:
        wire.is_idle = True
        if not self.idle.give_back(key, wire):
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        left = self.idle.sweep()
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep) if left else None

    def _forget(self, wire: AsyncWire) -> None:
        self._open.discard(wire)
        self.idle.discard(wire)

    async def _close_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._loops.pop(self._loop, None)
            if self._timer is not None:
                self._timer.cancel()
            self.idle.clear()
            for wire in list(self._open):
                wire.close()
            # The event loop closes the sockets in its next rounds; those of TLS take one more.
            for _ in range(3):
                await asyncio.sleep(0)


class _Attempt:
    """One attempt, and the connection that it uses; also the `Network` that opens it."""

    __slots__ = ("_has_place", "_key", "_plan", "_transport", "_wire", "_wires")

    def __init__(self, transport: AsyncTransport, plan: Sendable) -> None:
        self._transport = transport
        self._plan = plan
        self._key = pool_key(plan)
        self._wires: _LoopWires
        self._wire: AsyncWire | None = None
        self._has_place = False

    @property
    def has_sent(self) -> bool:
        """Whether the API may have received something."""
        return self._wire is not None and self._wire.has_sent

    async def run(self, started: float, seconds: float) -> Response:
        # The timers of asyncio cost as much as parsing a response; most attempts wait for neither of these.
        plan, deadline = self._plan, started + seconds
        wires = self._wires = await self._transport.wires_of_loop()
        if wires.places.locked():
            async with asyncio.timeout(seconds):
                await wires.places.acquire()
        else:
            await wires.places.acquire()
        self._has_place = True
        wire = self._wire = wires.idle.take(self._key)
        if wire is None:
            async with asyncio.timeout(deadline - time.monotonic()):
                wire = self._wire = await connect(self, plan)
        wire.begin(deadline, plan.read_seconds)
        parser = await exchange(wire, plan)
        head = parser.head
        assert head is not None  # noqa: S101 - it was read
        if is_streamed(plan, head.status):
            wire.deadline = math.inf  # the reader of a stream may take its time
            seconds = time.monotonic() - started
            return StreamedResponse(plan, head, None, seconds, self._stream(head, parser), self.aclose)
        content = await read_body(wire, parser, max_body_size(plan))
        self._end(may_reuse=parser.is_reusable)
        seconds = time.monotonic() - started
        if plan.stream:
            return StreamedResponse(plan, head, content, seconds, _empty_body(), self.aclose)
        return Response(plan, head, content, seconds)

    async def _stream(self, head: Head, parser: ResponseParser) -> AsyncGenerator[bytes]:
        """The decoded body as it arrives; raises StreamBroken."""
        wire = self._wire
        broken: StreamBroken | None = None
        try:
            decoder = decoder_of(head.headers)
            while wire is not None and (piece := await read_piece(wire, parser)):
                for part in (piece,) if decoder is None else decoder.decode(piece):
                    yield part
            if decoder is not None:
                decoder.finish()
            self._end(may_reuse=parser.is_reusable)
        except TimeoutError:
            broken = StreamBroken("timeout")
        except EXPECTED_ERRORS:
            broken = StreamBroken("truncated")
        finally:
            self.close()
        if broken is not None:
            raise broken

    def _end(self, *, may_reuse: bool) -> None:
        """Give the connection back, or close it."""
        wire, self._wire = self._wire, None
        if wire is not None and may_reuse:
            self._wires.give_back(self._key, wire)
        elif wire is not None:
            wire.close()
        if self._has_place:
            self._has_place = False
            self._wires.places.release()

    def close(self) -> None:
        """Close the connection if it is still in use."""
        if self._wire is not None:
            self._wire.close()
        if self._has_place:
            self._has_place = False
            self._wires.places.release()

    async def aclose(self) -> None:
        """The same, and wait until the event loop has closed the socket."""
        self.close()
        await asyncio.sleep(0)

    # The network of this attempt.

    async def resolve(self, host: str, port: int, *, is_named_by_user: bool) -> list[AddressInfo]:
        """The addresses of a host, or socket.gaierror."""
        return await self._transport.resolve(
            host, port, self._plan.connect_seconds, is_named_by_user=is_named_by_user
        )

    async def open(self, address: AddressInfo) -> AsyncWire:
        """A connection to an address."""
        return await self._wires.open(address, self._plan.connect_seconds)

    def context_for(self, request: Sendable) -> ssl.SSLContext:
        """The TLS settings for a request."""
        return self._transport.context_for(request)


async def _empty_body() -> AsyncGenerator[bytes]:
    for _ in ():
        yield b""
