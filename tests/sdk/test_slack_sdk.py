"""slack_sdk, whose connections cannot be replaced: the class of docs/calling.md sends through a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.sdk import test_httpx_sdks, test_requests_sdks
from tests.sdk.sdk_product import KEY, SDK_KEY, connected
from tests.support.recording_server import Received, RecordingServer, Reply
from tests.support.run_docs import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

NAMED = {
    "anthropic", "atlassian-python-api", "github3.py", "gql", "hvac", "jira", "Mastodon.py", "notion-client",
    "openai", "prawcore", "py-trello", "pyairtable", "python-gitlab", "simple-salesforce", "stripe", "tweepy",
    "zeep", "zenpy",
}  # fmt: skip
"""The SDKs that work with a session, an adapter or a transport as they are."""


def documented_class() -> Any:
    """The class of the documentation."""
    (block,) = (
        block for block in blocks(ROOT / "docs" / "calling.md", "python") if "SlackClient" in block.text
    )
    names: dict[str, Any] = {}
    exec(block.text.partition("\n\n\napi = ")[0], names)  # noqa: S102 - our own text
    return names["SlackClient"]


def respond(received: Received) -> Any:
    """Slack."""
    method = urlsplit(received.target).path.rpartition("/")[2]
    if method == "chat.postMessage" and b"missing" in received.body:
        return {"ok": False, "error": "channel_not_found"}
    if method == "conversations.list":
        return {"ok": True, "channels": [{"id": "C1"}], "response_metadata": {"next_cursor": "n"}}
    return Reply({"ok": True, "ts": "1.2", "user": "ada"}, 200, (("X-OAuth-Scopes", "chat:write"),))


def use(client: WebClient) -> object:
    """A few methods: without arguments, with a form, with JSON, with flags, and one that fails."""
    user = client.auth_test()["user"]
    message = client.chat_postMessage(channel="C1", text="h\u00e9llo & more", unfurl_links=False)
    channels = client.conversations_list(exclude_archived=True, limit=2, cursor="n")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="missing", text="x")
    return user, message["ts"], channels["channels"], caught.value.response["error"], message.status_code


def meaning(received: Received) -> tuple[object, ...]:
    """Path and values. slack_sdk posts everything; our class sends a GET as one, which is retried."""
    target = urlsplit(received.target)
    if received.headers.get("content-type", "").startswith("application/json"):
        return target.path, received.body
    return target.path, sorted(parse_qsl(f"{target.query}&{received.body.decode()}"))


def test_slack_sdk_works_as_with_its_own_connections(tmp_path: Path) -> None:
    """The same results and values, with the connection's credential in place of the SDK's."""
    with RecordingServer(respond) as server:
        expected = use(WebClient(SDK_KEY, base_url=f"{server.url}api/"))
        plain = [meaning(received) for received in server.received]
        server.received.clear()
        with connected(tmp_path, f"{server.url}api/") as nango:
            found = use(documented_class()(nango.session("api", "user-1"), base_url=f"{server.url}api/"))
        ours = list(server.received)
    assert found == expected
    assert [meaning(received) for received in ours] == plain
    assert all(received.headers["authorization"] == f"Bearer {KEY}" for received in ours)


def test_every_sdk_that_the_docs_count_has_a_test() -> None:
    """The tests of the sessions and transports name them all."""
    assert test_requests_sdks.SDKS.keys() | test_httpx_sdks.SDKS.keys() == NAMED
    assert f"runs {len(NAMED) + 1} SDKs" in (ROOT / "docs" / "calling.md").read_text()
