"""A product with actions against a sandbox, run by threads and by asyncio."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, Sandbox
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.sandbox.ledger import Received

KEY = "key_planted_4f3a9c21d8"

SHOP: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://api.example.test/v1/",
        "headers": {"Authorization": "Key ${api_key}"},
        "bases": {"files": "https://files.example.test/v2/"},
    },
    "connection_config": {"type": "object", "properties": {"account": {"type": "string"}}},
    "errors": {"message": "error.message", "code": "error.code"},
    "pagination": {"kind": "next_url", "next": "next", "records": "items"},
    "retries": {"max_attempts": 1},
}
"""An API without limits and retries."""


class ActionProduct:
    """One integration, `shop`, with actions, and the sandbox that it calls.

    Attributes:
        nango: the Nango.
        sandbox: the sandbox.
    """

    def __init__(self, nango: Nango, sandbox: Sandbox) -> None:
        self.nango = nango
        self.sandbox = sandbox

    def run(self, action: str, given: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The result of an action in this thread."""
        return self.nango.trigger_action("shop", action, "u", given, **options)

    def run_async(self, action: str, given: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The same in an event loop."""

        async def work() -> Any:
            try:
                return await self.nango.atrigger_action("shop", action, "u", given, **options)
            finally:
                await self.nango.aclose()

        return asyncio.run(work())

    @property
    def sent(self) -> list[Received]:
        """The requests that the sandbox received."""
        return list(self.sandbox.ledger.received)


@contextmanager
def action_product(
    actions: Mapping[str, Any], folder: Any = "", *, modules: tuple[str, ...] = (), **settings: Any
) -> Iterator[ActionProduct]:
    """A product with these actions in YAML, as mappings, and modules with actions in Python."""
    shop = {**SHOP, **settings, "actions": dict(actions)}
    with Sandbox(shop, strict=False, limits="none") as sandbox:
        source = {"integrations": {"shop": shop}, "config": {"actions": list(modules)}}
        url = f"sqlite:///{folder}/connections.db" if folder else "sqlite:///:memory:"
        with Nango(
            source, overrides={"shop": sandbox.overrides}, database_url=url, encryption_keys=ENCRYPTION_KEY,
            environ={},
        ) as nango:  # fmt: skip
            nango.register_connection("shop", "u", {"api_key": KEY}, {"account": "acme"}, replace=True)
            yield ActionProduct(nango, sandbox)


BOTH = pytest.mark.parametrize("run", [ActionProduct.run, ActionProduct.run_async], ids=["sync", "async"])
