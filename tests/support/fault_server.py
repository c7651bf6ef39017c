"""A TCP server that follows scripts byte by byte, to behave as no correct server does.

    with FaultServer([READ, response(b"hello")[:-2], RESET], [READ, response(b"again")]) as server:
        requests.get(server.url)

Each connection runs the next script, and the last script serves all further ones.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import functools
import ipaddress
import socket
import ssl
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from cryptography.x509 import GeneralName


class Step(enum.Enum):
    """What a connection does besides sending bytes."""

    READ = "read one request and keep it"
    READ_HEAD = "read the head of a request, and keep what has come with it"
    RESET = "close with an RST"
    CLOSE = "close, after the bytes sent so far"
    HANG = "do nothing until the client closes"


READ, READ_HEAD, RESET, CLOSE, HANG = Step.READ, Step.READ_HEAD, Step.RESET, Step.CLOSE, Step.HANG


@dataclass(frozen=True, slots=True)
class Drip:
    """Bytes sent slowly: `bytes_at_once` every `seconds`. They may be part of a head as well as of a body."""

    data: bytes
    bytes_at_once: int = 1
    seconds: float = 0.05


Script = Sequence["bytes | float | threading.Event | Drip | Step"]
"""Bytes are sent, a number is a pause in seconds, an event is waited for; a script that ends closes."""


def response(body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """An HTTP/1.1 response; its Content-Length is correct unless `headers` overrides it."""
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


@functools.cache
def gzip_bomb(decoded_bytes: int = 200 * 1024 * 1024) -> bytes:
    """Zeros, gzipped: 200 MB in some 204 KB."""
    compress = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    block = bytes(1024 * 1024)
    pieces = [
        compress.compress(block[: min(len(block), left)]) for left in range(decoded_bytes, 0, -len(block))
    ]
    return b"".join(pieces) + compress.flush()


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port on 127.0.0.1 that ignores attempts to connect, like one behind a firewall."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # Once the queue of connections to accept is full, Linux drops further ones.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - the name of the method says it
            filler.connect_ex(("127.0.0.1", port))
        yield port


@dataclass(frozen=True, slots=True)
class Tls:
    """A self-signed server certificate: its names, and whether it has expired."""

    names: tuple[str, ...] = ("127.0.0.1", "localhost")
    is_expired: bool = False

    def certificate(self) -> bytes:
        """A fresh key and certificate in PEM."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nango_py fault server")])
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=-1 if self.is_expired else 1)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        certificate = (
            builder.not_valid_before(end - dt.timedelta(days=7))
            .not_valid_after(end)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in self.names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return private + certificate.public_bytes(pem)


class FaultServer:
    """Serves scripts on 127.0.0.1, one thread for each connection; a context manager.

    Attributes:
        port: a free port.
        requests: the requests that READ steps have read, as bytes.
        certificate: with `tls`, a PEM file to trust.
    """

    def __init__(self, *scripts: Script, tls: Tls | None = None) -> None:
        self.requests: list[bytes] = []
        self.certificate: Path | None = None
        self._scripts = list(scripts)
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._changed = threading.Condition()
        self._is_stopping = threading.Event()
        self._accepted = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """The listening server."""
        if self._tls is not None:
            folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
            self.certificate = folder / "server.pem"
            self.certificate.write_bytes(self._tls.certificate())
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(self.certificate)
        self._listener = self._cleanup.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="fault-server")
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything, hanging connections included."""
        self._is_stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        with self._changed:
            for client in self._open:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._cleanup.close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT/`, or https."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/"

    @property
    def connections(self) -> int:
        """The number of accepted connections."""
        with self._changed:
            return self._accepted

    def wait_for_requests(self, number: int, timeout_seconds: float = 10.0) -> list[bytes]:
        """The requests, once READ steps have read that number."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= number, timeout_seconds):
                raise TimeoutError(
                    f"{len(self.requests)} of {number} requests arrived within {timeout_seconds} s"
                )
            return list(self.requests)

    def _accept(self) -> None:
        while not self._is_stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                script = self._scripts[min(self._accepted, len(self._scripts) - 1)]
                self._accepted += 1
                self._open.add(client)
                thread = threading.Thread(
                    target=self._serve, args=(client, script), name="fault-server-connection"
                )
                self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, script: Script) -> None:
        stream = client
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                stream = self._context.wrap_socket(client, server_side=True)
                with self._changed:
                    self._open.discard(client)
                    self._open.add(stream)
            for step in script:
                if self._is_stopping.is_set() or not self._run(stream, step):
                    break
        except OSError:
            pass  # the client has closed, which many scripts wait for
        finally:
            with self._changed:
                self._open.discard(stream)
                self._open.discard(client)
                stream.close()
                client.close()

    def _run(self, stream: socket.socket, step: bytes | float | threading.Event | Drip | Step) -> bool:
        """Run a step; whether the connection continues."""
        if isinstance(step, Step):
            if step in {READ, READ_HEAD}:
                return self._record_request(stream, has_body=step is READ)
            return _end(stream, step)
        if isinstance(step, bytes):
            stream.sendall(step)
        elif isinstance(step, Drip):
            for start in range(0, len(step.data), step.bytes_at_once):
                stream.sendall(step.data[start : start + step.bytes_at_once])
                self._is_stopping.wait(step.seconds)
                if self._is_stopping.is_set():
                    break
        elif isinstance(step, threading.Event):
            while not step.wait(0.02) and not self._is_stopping.is_set():
                pass
        else:
            self._is_stopping.wait(step)
        return True

    def _record_request(self, stream: socket.socket, *, has_body: bool) -> bool:
        request = _read_request(stream, has_body=has_body)
        with self._changed:
            if request:
                self.requests.append(request)
                self._changed.notify_all()
        return bool(request)


def _end(stream: socket.socket, step: Step) -> bool:
    """End the connection as the step says; always False."""
    if step is HANG:
        while stream.recv(65_536):
            pass
    elif step is RESET:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _read_request(stream: socket.socket, *, has_body: bool) -> bytes:
    """A head and its body, by Content-Length or chunked; empty if the client closes first."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = stream.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    announced = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(announced[0].split(b":")[1]) if announced else 0
    is_chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
    while has_body and (len(body) < length or (is_chunked and not body.endswith(b"0\r\n\r\n"))):
        chunk = stream.recv(65_536)
        if not chunk:
            return b""
        body += chunk
    return head + b"\r\n\r\n" + body


def _general_name(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
