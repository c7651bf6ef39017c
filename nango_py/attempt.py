"""The record of one attempt; errors, responses and events carry it."""

from __future__ import annotations

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
