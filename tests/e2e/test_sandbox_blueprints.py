"""Every built-in blueprint in a Nango of sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import CredentialsError, ProviderError, VirtualClock
from nango_py.connect.login_kinds import uses_browser_login
from nango_py.testing import SandboxNango
from tests.support.config_project import plain
from tests.support.sandbox_logins import FOLDER, extended, log_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nango_py import Nango, Sandbox

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


def call(nango: Nango, user: str, example: Mapping[str, Any], **options: Any) -> int:
    """The status of an example's call for a user."""
    sent = example["call"]
    body = {name: sent[name] for name in ("params", "json", "data", "headers") if name in sent}
    executor = nango.executor("it", user)
    method = sent.get("method", "GET")
    return executor.request(method, sent["path"], **body, **options).status_code


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_blueprint_works_against_its_sandbox(file: Path) -> None:
    """Made-up credentials and logins get the responses of the examples, each under the name of its user."""
    with SandboxNango({"it": extended(file)}, clock=VirtualClock()) as nango:
        declared, api = nango.configuration.integrations["it"], nango.sandbox("it")
        examples = served_examples(api.settings)
        for user in ("ada", "bob"):
            nango.connect("it", user)
            call(nango, user, examples[0])
            assert declared.auth_mode == "OAUTH2_JWT" or api.ledger.received[-1].user == user
        api.expire_tokens()
        for example in examples:
            assert call(nango, "ada", example) == example["response"]["status"]
        refused = [received for received in api.ledger.received if received.status == 401]
        assert len(refused) == (len(api.login_ledger) > 0)
        if uses_browser_login(declared):
            check_login(nango, api, examples[0])


def check_login(nango: Nango, api: Sandbox, example: Mapping[str, Any]) -> None:
    """A login is stored, its calls are accepted, and after revocation they are not."""
    outcome = log_in(nango, api, "eve", additional_config=example.get("additional_config") or {})
    assert (outcome.ok, outcome.message) == (True, "")
    call(nango, "eve", example)
    assert api.ledger.received[-1].user == "eve"
    if nango.configuration.integrations["it"].auth_mode == "OAUTH2":
        api.expire_tokens("eve")
        before = len(api.login_ledger)
        call(nango, "eve", example)
        assert {"token", "refresh"} & {one.endpoint for one in api.login_ledger.received[before:]}
    api.revoke("eve")
    with pytest.raises((CredentialsError, ProviderError)):
        call(nango, "eve", example, raise_for_error=True)
