"""Arguments of wrong types or sizes are errors where they are given, and name the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py.sandbox import Fault, FaultPlan, Sandbox, SandboxResponse, TokenRules
from nango_py.testing import SandboxNango

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {"base_url": "https://x.test/", "headers": {"X-Key": "${api_key}"}},
    "pagination": {"kind": "page", "param": "page", "size": {"param": "n", "max": 5}, "records": "items"},
}
OPTIONS: list[tuple[str, Any]] = [
    ("faults", "503"), ("faults", [503]), ("faults", {"503": 0.5}),
    ("pages", {"a": -1}), ("pages", {"a": "2"}), ("pages", {"a": 1.5}), ("pages", {"a": True}),
    ("pages", ["a"]),
    ("credentials", "key"), ("credentials", {"u": "key"}), ("credentials", ["u"]),
    ("responses", "x"), ("responses", {"GET a": 1}), ("responses", {("GET",): 1}), ("responses", None),
    ("accounts", -1), ("accounts", "2"), ("accounts", None), ("clock", "now"), ("clock", None),
    ("tokens", {"rotates": True}), ("tokens", None), ("strict", "no"), ("retired", 1), ("signatures", None),
    ("idempotency_header", 1), ("port", -1), ("port", "80"),
    ("counting", None), ("limits", 1), ("retry_after", []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OPTIONS)
def test_sandbox_refuses_an_option(name: str, value: Any) -> None:
    """The error is raised by Sandbox, not by the first request."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Sandbox(SETTINGS, **{name: value})
    assert name in str(caught.value)


CALLS: dict[str, tuple[str, Callable[[Sandbox], object]]] = {
    "records below 0": ("records", lambda api: api.paginate("a", -1)),
    "records as text": ("records", lambda api: api.paginate("a", "abc")),  # type: ignore[arg-type]
    "records as a mapping": ("records", lambda api: api.paginate("a", {"a": 1})),  # type: ignore[arg-type]
    "a page size below 0": ("page_size", lambda api: api.paginate("a", 3, page_size=-1)),
    "a page size as text": ("page_size", lambda api: api.paginate("a", 3, page_size="2")),  # type: ignore[arg-type]
    "a schema as text": ("schema", lambda api: api.paginate("a", 3, schema="x")),  # type: ignore[arg-type]
    "a path of a list": ("path", lambda api: api.paginate(3, 3)),  # type: ignore[arg-type]
    "a path": ("path", lambda api: api.respond("GET", 3)),  # type: ignore[arg-type]
    "a method": ("method", lambda api: api.handle(3, "a")(lambda _: None)),  # type: ignore[arg-type]
    "parameters": ("params", lambda api: api.respond("GET", "a", params="b=1")),  # type: ignore[arg-type]
    "headers": ("headers", lambda api: api.respond("GET", "a", headers="A: 1")),  # type: ignore[arg-type]
    "a header with another script": ("X-A", lambda api: api.respond("GET", "a", headers={"X-A": "\u6f22"})),
    "a header with a line break": ("X-A", lambda api: api.respond("GET", "a", headers={"X-A": "a\r\nB: c"})),
    "a header without a value": ("X-A", lambda api: api.respond("GET", "a", headers={"X-A": None})),  # type: ignore[dict-item]
    "a name of a header": ("space", lambda api: api.respond("GET", "a", headers={"X A": "a"})),
    "a number as a name": ("header", lambda api: api.respond("GET", "a", headers={5: "a"})),  # type: ignore[dict-item]
    "a header of a response": ("X-A", lambda _: SandboxResponse(200, (("X-A", "\x00"),))),
    "text": ("text", lambda api: api.respond("GET", "a", text=b"x")),  # type: ignore[arg-type]
    "a file as text": ("content", lambda api: api.serve_file("a", "x")),  # type: ignore[arg-type]
    "the status of a file": ("status", lambda api: api.serve_file("a", b"", status=-1)),
    "credentials": ("credentials", lambda api: api.accept("u", "key")),  # type: ignore[arg-type]
    "settings": ("settings", lambda _: Sandbox("klaviyo:v1")),  # type: ignore[arg-type]
    "settings without a base URL": ("base_url", lambda _: Sandbox({})),
    "rates as text": ("rates", lambda _: FaultPlan(1, "503")),  # type: ignore[arg-type]
    "a rate as text": ("503", lambda _: FaultPlan(1, {"503": "0.5"})),  # type: ignore[dict-item]
    "a rate that is NaN": ("503", lambda _: FaultPlan(1, {"503": float("nan")})),
    "a limit below 0": ("limit", lambda _: FaultPlan(1, {"503": 0.5}, limit=-1)),
    "a delay below 0": ("delay_seconds", lambda _: FaultPlan(1, {}, delay_seconds=(-1, 0))),
    "delays in the wrong order": ("delay_seconds", lambda _: FaultPlan(1, {}, delay_seconds=(2, 1))),
    "a wait below 0": ("retry_after", lambda _: FaultPlan(1, {}, retry_after=-1)),
    "one endpoint": ("endpoints", lambda _: FaultPlan(1, {}, endpoints="orders")),
    "one entry": ("entries", lambda _: FaultPlan.script(503)),  # type: ignore[arg-type]
    "a text as entries": ("entries", lambda _: FaultPlan.script("503")),
    "seconds below 0": ("seconds", lambda _: Fault("delay", seconds=-1)),
    "no bytes at once": ("bytes_at_once", lambda _: Fault("drip", bytes_at_once=0)),
    "a lifetime below 0": ("lifetime_seconds", lambda _: TokenRules(lifetime_seconds=-1)),
    "a lifetime as text": ("lifetime_seconds", lambda _: TokenRules(lifetime_seconds="1h")),  # type: ignore[arg-type]
    "options": ("options", lambda _: SandboxNango({"a": SETTINGS}, options="x")),  # type: ignore[arg-type]
    "an environment": ("environ", lambda _: SandboxNango({"a": SETTINGS}, environ="x")),  # type: ignore[arg-type]
    "overrides": ("overrides", lambda _: SandboxNango({"a": SETTINGS}, overrides="x")),  # type: ignore[arg-type]
    "faults of all": ("faults", lambda _: SandboxNango({"a": SETTINGS}, options={"faults": "x"})),  # type: ignore[typeddict-item]
}


@pytest.mark.parametrize("case", CALLS)
def test_methods_refuse_an_argument(case: str) -> None:
    """The error is raised where the argument is given."""
    name, call = CALLS[case]
    api = Sandbox(SETTINGS)
    with pytest.raises((TypeError, ValueError)) as caught:
        call(api)
    assert name in str(caught.value)


def test_small_numbers_are_accepted() -> None:
    """Control: none of a thing is a number of things."""
    assert SandboxResponse(200, (("Retry-After", 5),)).status == 200  # type: ignore[arg-type]
    api = Sandbox(SETTINGS, pages={"a": 0}, accounts=0, credentials={}, faults=FaultPlan(1, {}, limit=0))
    assert api.paginate("b", 0) == []
    assert api.paginate("c", [{"id": 1}], page_size=0) == [{"id": 1}]
    assert TokenRules(lifetime_seconds=0).lifetime_seconds == 0
