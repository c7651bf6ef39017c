"""The file of a tape: YAML that people can read and change."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, TypeAlias

from nango_py.config.yaml.document import MAX_BYTES, load_document
from nango_py.database.private_files import replace_file
from nango_py.errors import TapeError
from nango_py.record import record
from nango_py.secret import Secret
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    Pairs: TypeAlias = tuple[tuple[str, str], ...]

VERSION = 1
SIZE_FACTOR = 64
"""How many times larger than a file of settings a tape may be: 64 MiB."""

_HEAD = "# Recorded by nango_py; secrets are replaced by ***.\n"
_UNPRINTABLE = re.compile("[\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff\u2028\u2029]")
_FAILURES = frozenset(
    {"dns", "connect", "tls", "proxy", "blocked", "timeout", "reset", "truncated", "too_large", "protocol"}
)


@record
class TapedRequest:
    """A request without secrets; the body is None if it was a stream."""

    method: str
    url: str
    headers: Pairs
    body: bytes | None


@record
class TapedResponse:
    """A response without secrets; its body is decoded."""

    status: int
    reason: str
    headers: Pairs
    body: bytes


@record
class TapedCall:
    """One attempt: the request, and the response or what went wrong."""

    request: TapedRequest
    outcome: TapedResponse | Failure


def save_tape(path: Path, calls: list[TapedCall]) -> None:
    """Write a tape, readable by its owner only; readers see the old or the new one.

    Raises:
        TapeError: it cannot be written, or would be too large to be read.
    """
    text = "".join((_HEAD, f"tape: {VERSION}\n", "calls:\n" if calls else "calls: []\n", *map(_write, calls)))
    size, reason = len(text.encode()), ""
    if size > MAX_BYTES * SIZE_FACTOR:
        raise TapeError(
            f"the tape {path} would have {size} bytes; at most {MAX_BYTES * SIZE_FACTOR} can be read"
        )
    try:
        replace_file(path, Secret(text))
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise TapeError(f"cannot write the tape {path}: {reason}")


def _write(call: TapedCall) -> str:
    request, outcome = call.request, call.outcome
    lines = ["- request:", f"    method: {_quote(request.method)}", f"    url: {_quote(request.url)}"]
    lines += _write_headers(request.headers)
    lines += ["    stream: true"] if request.body is None else _write_body(request.body)
    if isinstance(outcome, Failure):
        lines += ["  failure:", f"    reason: {outcome.reason}", f"    sent: {str(outcome.sent).lower()}"]
        lines += [f"    text: {_quote(outcome.text)}"]
    else:
        lines += ["  response:", f"    status: {outcome.status}", f"    reason: {_quote(outcome.reason)}"]
        lines += [*_write_headers(outcome.headers), *_write_body(outcome.body)]
    return "\n".join(lines) + "\n"


def _write_headers(headers: Pairs) -> Iterator[str]:
    if headers:
        yield "    headers:"
        yield from (f"    - [{_quote(name)}, {_quote(value)}]" for name, value in headers)


def _write_body(body: bytes) -> Iterator[str]:
    if not body:
        return
    try:
        yield f"    text: {_quote(body.decode())}"
    except UnicodeDecodeError:
        yield f"    base64: {_quote(base64.b64encode(body).decode())}"


def _quote(text: str) -> str:
    """A double-quoted YAML scalar (YAML 1.2.2 section 7.3.1)."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def load_tape(path: Path) -> list[TapedCall]:
    """The calls of a tape.

    Raises:
        ConfigError: the file is missing, or is not YAML.
        TapeError: it is not a tape.
    """
    data = load_document(path, size_factor=SIZE_FACTOR).data
    if not isinstance(data, dict) or data.get("tape") != VERSION or not isinstance(data.get("calls"), list):
        raise TapeError(f"{path} is not a tape; expected tape: {VERSION} and a list of calls")
    calls = []
    for number, entry in enumerate(data["calls"]):
        call = _read(entry)
        if call is None:
            expected = "expected a request, and a response or a failure"
            raise TapeError(f"{path}: calls[{number}] is not a recorded call; {expected}")
        calls.append(call)
    return calls


def _read(entry: Any) -> TapedCall | None:
    """A call, or None if the entry is something else."""
    try:
        given = entry["request"]
        body = None if given.get("stream") else _read_body(given)
        request = TapedRequest(str(given["method"]), str(given["url"]), _read_headers(given), body)
        if "failure" in entry:
            failed = entry["failure"]
            if failed["reason"] not in _FAILURES:
                return None
            failure = Failure(failed["reason"], bool(failed["sent"]), str(failed["text"]))
            return TapedCall(request, failure)
        found = entry["response"]
        headers, body = _read_headers(found), _read_body(found)
        response = TapedResponse(int(found["status"]), str(found.get("reason") or ""), headers, body)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return TapedCall(request, response)


def _read_headers(entry: Mapping[str, Any]) -> Pairs:
    return tuple((str(name), str(value)) for name, value in entry.get("headers") or ())


def _read_body(entry: Mapping[str, Any]) -> bytes:
    if "base64" in entry:
        return base64.b64decode(entry["base64"], validate=True)
    return str(entry.get("text") or "").encode("utf-8", "surrogatepass")
