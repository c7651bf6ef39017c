"""The records of a call and of its attempts; errors, responses and events carry them."""

from __future__ import annotations

import os

from nango_py.record import record


@record
class Attempt:
    """One attempt to send a request, as it is logged, explained and kept on errors.

    Attributes:
        number: 1 for the first attempt.
        status: the HTTP status, or 0 if there was no response.
        reason: why there was no response (`nango_py.transport.sendable.Failure.reason`), or "".
        seconds: from sending the request to the last byte of the response.
        waited: seconds waited before the attempt for quotas, gates and backoff together.
        received: size of the decoded body in bytes.
        rule: the retry rule that judged the attempt.
        action: the decision: `return`, `retry`, `wait`, `redirect`, `refresh` or `fail`.
        wait: seconds to wait before the next attempt.
        endpoint: the path below the base URL, without its query.
        call_id: the call that it belongs to.
        closed: the budgets whose calls wait after it, because the API refused it for its rate.
    """

    number: int
    status: int = 0
    reason: str = ""
    seconds: float = 0.0
    waited: float = 0.0
    received: int = 0
    rule: str = ""
    action: str = ""
    wait: float = 0.0
    endpoint: str = ""
    call_id: str = ""
    closed: str = ""


class CallRecord:
    """What happened in one call.

    Attributes:
        call_id: 12 hexadecimal digits; attempts, events, errors and log records carry it.
        attempts: the attempts so far.
        ending: how the call ended, in words; "" while it runs.
    """

    __slots__ = ("attempts", "call_id", "ending")

    def __init__(self) -> None:
        self.call_id = os.urandom(6).hex()
        self.attempts: list[Attempt] = []
        self.ending = ""
