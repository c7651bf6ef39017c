"""Requests that an HTTP library hands over: what of them is sent, and what the library gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.template.headers import is_framing
from nango_py.config.urls.paths import check_dots, join_path
from nango_py.engine.call_arguments import run_check
from nango_py.engine.plan import header_text, without_params
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.plan import Plan
    from nango_py.transport.http1 import HeaderLines

CHUNK_SIZE = 65_536


def check_library_path(base_url: str, path: str) -> str:
    """The URL of a path as a library's user gave it; "" as base URL only checks.

    Raises:
        InvalidRequest: it leads elsewhere, or has a dot segment in any encoding.
    """
    if base_url:
        return run_check(join_path, base_url, path)
    run_check(check_dots, path)
    return path


def library_headers(
    headers: Mapping[str, str | None], settings: BoundRequestSettings
) -> dict[str, str | None]:
    """The headers that a library's request keeps: not those of the sender, nor its own login."""
    dropped = {"authorization"} if settings.sends_credentials else set()
    named = {header_text(name): value for name, value in headers.items()}
    return {
        name: value for name, value in named.items() if not is_framing(name) and name.lower() not in dropped
    }


def library_plan(plan: Plan, headers: Mapping[str, str | None]) -> Plan:
    """The plan with the length of the body as the library knows it."""
    length = next(
        (
            header_text(value)
            for name, value in headers.items()
            if header_text(name).lower() == "content-length"
        ),
        "",
    )
    if not length.isdecimal() or isinstance(plan.body, bytes) or hasattr(plan.body, "content_length"):
        return plan
    if plan.body is None:
        return replaced(plan, body=b"") if length == "0" else plan
    return replaced(plan, body=SizedBody(plan.body, int(length)))


class SizedBody:
    """A stream that can be read once and whose length a library knows, so that it is not sent in chunks."""

    def __init__(self, body: Any, content_length: int) -> None:
        self.content_length = content_length
        self._body = body

    def __iter__(self) -> Iterator[bytes | str]:
        if not hasattr(self._body, "read"):
            return iter(self._body)
        return iter(lambda: self._body.read(CHUNK_SIZE) or None, None)


def hide_location(headers: HeaderLines, settings: BoundRequestSettings) -> None:
    """Take the credentials that an API repeats out of its `Location`; a request to it gets them again."""
    location, shown = headers.get("Location"), settings.masked_base()
    if not location or (shown == settings.base_url and not settings.protected_params):
        return
    head, mark, query = location.partition("?")
    if head.startswith(settings.base_url):
        head = shown + head[len(settings.base_url) :]
    query = without_params(query, settings.protected_params) if query else ""
    del headers["Location"]
    headers["Location"] = head + mark + query if query else head
