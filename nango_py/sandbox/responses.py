"""The responses of a sandbox, and errors in the format of its API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from nango_py.argument_types import check_type
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import check_header_name, check_header_value
from nango_py.config.values import EnvironmentText
from nango_py.errors import nearest, printable
from nango_py.record import record, replaced
from nango_py.sandbox.documents import find_steps, set_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nango_py.json_types import JsonValue, Settings

    Document: TypeAlias = JsonValue | Mapping[str, object] | Sequence[object]

FIRST_ERROR = 400
STATUSES = range(200, 1000)
REFUSALS = frozenset({401, 410, 429})
"""Examples with these statuses are templates for refusals and not served at their path."""


def check_status(status: object) -> None:
    """Raise a ValueError for what is not a final HTTP status."""
    if not isinstance(status, int) or status not in STATUSES or isinstance(status, bool):
        raise ValueError(f"the status is {status!r}; expected a whole number from 200 to 999")


def check_headers(headers: Sequence[tuple[str, str]]) -> None:
    """Refuse headers that cannot be sent.

    Raises:
        TypeError: a name is not text, or a value neither text nor a number.
        ValueError: a name is not a token, or a value has characters that no header can hold.
    """
    problem = ""
    for name, value in headers:
        check_type("the name of a header", name, str, "text")
        check_type(f'header "{printable(name)}"', value, (str, int, float), "text")
        try:
            check_header_name(name, is_sent=False)
            check_header_value(str(value).strip(" \t"), name)
        except TemplateProblem as error:
            problem = problem or error.what
    if problem:
        raise ValueError(problem)


@record
class SandboxResponse:
    """An HTTP response. Content-Length and Connection are added when it is sent."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        check_status(self.status)
        check_headers(self.headers)

    @classmethod
    def of(
        cls,
        data: Document = None,
        *,
        status: int = 200,
        text: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> SandboxResponse:
        """A response with JSON, or with text if `data` is None."""
        fields = dict(headers or {})
        if data is not None:
            content, content_type = json.dumps(data, default=dict), "application/json"
        else:
            content, content_type = text, "text/plain; charset=utf-8"
        if content and not any(name.lower() == "content-type" for name in fields):
            fields["Content-Type"] = content_type
        return cls(status, tuple(fields.items()), content.encode())

    def with_headers(self, headers: Mapping[str, str]) -> SandboxResponse:
        """The response with additional headers."""
        return replaced(self, headers=(*self.headers, *headers.items()))


class ApiResponses:
    """JSON and errors in the format of one API.

    Args:
        settings: the merged settings: `errors`, the Accept header and the examples of refusals are used.
    """

    def __init__(self, settings: Settings) -> None:
        self._errors: Settings = settings.get("errors") or {}
        self.content_type = _content_type(settings)
        self._refusals: dict[int, SandboxResponse] = {}
        examples: Sequence[Settings] = settings.get("examples") or ()
        # A refusal that a new token would not mend is not that of an expired one.
        for example in sorted(examples, key=lambda each: (each.get("expects") or {}).get("retries") is False):
            response = self.of_example(example)
            if response.status in REFUSALS:
                self._refusals.setdefault(response.status, response)

    def json(self, data: Document, status: int = 200) -> SandboxResponse:
        """A response with the API's type of JSON."""
        return SandboxResponse.of(data, status=status, headers={"Content-Type": self.content_type})

    def of_example(self, example: Settings) -> SandboxResponse:
        """The response of an example of the blueprint."""
        declared: Settings = example.get("response") or {}
        headers = {name: str(value) for name, value in (declared.get("headers") or {}).items()}
        if declared.get("json") is not None and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = self.content_type
        return SandboxResponse.of(
            declared.get("json"),
            status=declared.get("status", 200),
            text=str(declared.get("text") or ""),
            headers=headers,
        )

    def error(self, status: int, code: str, message: str) -> SandboxResponse:
        """An error with the message and the code where the blueprint's `errors` expects them."""
        return self.json(self._error_document(code, message), status)

    def refusal(self, status: int, code: str, message: str) -> SandboxResponse:
        """The blueprint's example with this status, or a generated error."""
        return self._refusals.get(status) or self.error(status, code, message)

    def not_declared(self, method: str, path: str, declared: Sequence[str]) -> SandboxResponse:
        """The 404 for a path without a route. It names the nearest route, and all of them as `declared`."""
        name = f"{method} {printable(path)}"
        near = nearest(name, declared)
        message = f"The sandbox has no {name}."
        if near:
            message += f" Did you mean {near}?"
        message += " Supply it with respond(), handle() or paginate(), or add an example to the blueprint."
        document = self._error_document("not_declared", message)
        if isinstance(document, dict):
            document["declared"] = list(declared)
        return self.json(document, 404)

    def method_not_allowed(self, method: str, path: str, allowed: Sequence[str]) -> SandboxResponse:
        """The 405 for a path that has other methods only."""
        message = f"{printable(path)} has no {method}, only {', '.join(allowed)}."
        response = self.error(405, "method_not_allowed", message)
        return response.with_headers({"Allow": ", ".join(allowed)})

    def _error_document(self, code: str, message: str) -> JsonValue:
        fields: dict[str, JsonValue] = {"message": message, "code": code}
        document: JsonValue = None
        for name, text in fields.items():
            steps = find_steps(self._errors.get(name))
            if steps:
                document = set_at(document, steps, text)
        return document or {"error": fields}


def _content_type(settings: Settings) -> str:
    headers = (settings.get("requests") or {}).get("headers") or {}
    for name, value in headers.items():
        is_text = name.lower() == "accept" and not isinstance(value, EnvironmentText)
        if is_text and str(value).endswith("json"):
            return str(value)
    return "application/json"
