"""`when`: the conditions on a response, wherever a file chooses by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nango_py.config.request_match import path_fits, segments_of
from nango_py.config.values import as_tuple
from nango_py.json_path import search_json
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue, Settings


class ResponseFacts(Protocol):
    """What conditions look at: the outcome of one attempt."""

    @property
    def method(self) -> str:
        """The method of the request, in upper case."""

    @property
    def endpoint(self) -> str:
        """The path of the request below the base URL."""

    @property
    def status(self) -> int:
        """The HTTP status, or 0 if there was no response."""

    @property
    def reason(self) -> str:
        """Why there was no response, or ""."""

    def header(self, name: str, /) -> str | None:
        """The value of a response header, or None."""

    def text(self) -> str:
        """The body as text."""

    def json(self) -> JsonValue:
        """The body as JSON, or None if it is not JSON."""


@record
class ResponseMatch:
    """The conditions of one `when`; all that are set must hold."""

    statuses: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    path: str = ""
    headers: tuple[tuple[str, str | None], ...] = ()
    body_contains: str = ""
    json_path: str = ""
    json_equals: JsonValue = None
    errors: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> ResponseMatch:
        """The conditions of a checked `when:` block."""
        json_rule = settings.get("json") or {}
        header = settings.get("header", {})
        return cls(
            statuses=tuple(map(str, as_tuple(settings.get("status")))),
            methods=tuple(str(method).upper() for method in as_tuple(settings.get("method"))),
            path=settings.get("path", ""),
            headers=tuple(({header: None} if isinstance(header, str) else header).items()),
            body_contains=settings.get("body_contains", ""),
            json_path=json_rule.get("path", ""),
            json_equals=json_rule.get("equals"),
            errors=tuple(map(str, as_tuple(settings.get("error")))),
        )

    def may_hold_for(self, status: int) -> bool:
        """Whether the conditions could hold for a response with this status."""
        if self.statuses:
            return str(status) in self.statuses or f"{status // 100}xx" in self.statuses
        return not self.errors

    def holds(self, facts: ResponseFacts) -> bool:
        """Whether the conditions hold. Cheap ones are checked first."""
        return (
            (not self.statuses or self.may_hold_for(facts.status))
            and (not self.errors or facts.reason in self.errors)
            and bool(self.statuses or self.errors or facts.status)
            and (not self.methods or facts.method in self.methods)
            and (not self.path or path_fits(segments_of(self.path), segments_of(facts.endpoint)))
            and all(_matches_header(facts.header(name), value) for name, value in self.headers)
            and (not self.body_contains or self.body_contains in facts.text())
            and (not self.json_path or search_json(self.json_path, facts.json()) == self.json_equals)
        )


def describe_when(settings: Settings) -> str:
    """The words of a `when:` block, for explain()."""
    return " ".join(str(part) for key, value in settings.items() for part in (key, *as_tuple(value)))


def _matches_header(value: str | None, wanted: str | None) -> bool:
    return value is not None and (wanted is None or value == wanted)
