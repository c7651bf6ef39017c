"""Every built-in blueprint in a Nango of sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import VirtualClock
from nango_py.testing import SandboxNango
from tests.support.config_project import plain
from tests.support.sandbox_logins import FOLDER, extended

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = sorted(FOLDER.glob("*.yaml"))


def served_examples(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The examples that succeed, with the configuration of the first example, which `connect` stores."""
    examples = plain(settings["examples"])
    config = examples[0].get("additional_config")
    return [
        each
        for each in examples
        if each.get("response", {}).get("status", 500) < 300
        and "retries" not in each.get("expects", {})
        and each.get("additional_config") == config
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_examples_are_served_with_made_up_credentials(file: Path) -> None:
    """Calls of the examples get their responses, also after the tokens have expired."""
    with SandboxNango({"it": extended(file)}, clock=VirtualClock()) as nango:
        nango.connect("it", "ada")
        executor, api = nango.executor("it", "ada"), nango.sandbox("it")
        examples = served_examples(api.settings)
        for example in [examples[0], *examples]:
            call = example["call"]
            body = {name: call[name] for name in ("params", "json", "data", "headers") if name in call}
            response = executor.request(call.get("method", "GET"), call["path"], **body)
            assert response.status_code == example["response"]["status"], call
            if len(api.ledger) == 1:
                api.expire_tokens()
        refused = [received for received in api.ledger.received if received.status == 401]
        assert len(refused) == (len(api.login_ledger) > 0)
