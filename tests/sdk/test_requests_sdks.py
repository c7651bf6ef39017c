"""Real SDKs on requests: the same results and the same bytes as with a plain session, but the credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import github3
import gitlab
import hvac
import mastodon
import prawcore
import pyairtable
import pytest
import requests
import stripe
import trello
import tweepy
import zeep
from atlassian import Jira
from gql import Client as GqlClient
from gql import gql
from gql.transport.requests import RequestsHTTPTransport
from jira import JIRA
from simple_salesforce import Salesforce
from zenpy import Zenpy

from tests.sdk.sdk_product import KEY, SDK_KEY, connected
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nango_py import Nango
    from tests.support.recording_server import Received


class Plain:
    """What an SDK gets in the control."""

    def session(self) -> requests.Session:
        """A session to pass to an SDK."""
        return requests.Session()

    def mount(self, session: Any) -> Any:
        """The session that an SDK made, as it is."""
        return session


class Ours(Plain):
    """The same of a Nango."""

    def __init__(self, nango: Nango) -> None:
        self._nango = nango

    def session(self) -> requests.Session:
        """A session of `nango.session()`."""
        return self._nango.session("api", "user-1")

    def mount(self, session: Any) -> Any:
        """The session with the adapter mounted."""
        return self._nango.adapter("api", "user-1").mount_on(session)


def moved(session: Any, old: str, new: str) -> Any:
    """A session that reaches the test's server in the place of an address that an SDK has written down."""
    send = session.request

    def request(method: str, url: str, *args: Any, **options: Any) -> requests.Response:
        return send(method, url.replace(old, new), *args, **options)

    session.request = request
    return session


def _use_gitlab(url: str, client: Plain) -> object:
    api = gitlab.Gitlab(url, oauth_token=SDK_KEY, session=client.session())
    project = api.projects.get(7)
    issue = project.issues.create({"title": "Tïtle"})
    names = [one.id for one in api.projects.list(iterator=True, per_page=2)]
    return project.name, issue.id, names


def _use_salesforce(url: str, client: Plain) -> object:
    session = moved(client.session(), "https://sf.test", url.rstrip("/"))
    api = Salesforce(instance="sf.test", session_id=SDK_KEY, session=session)
    return api.query("SELECT Id FROM Account")["records"], api.Account.create({"Name": "A"})


def _use_stripe(url: str, client: Plain) -> object:
    http = stripe.RequestsClient(session=client.session())
    api = stripe.StripeClient(SDK_KEY, http_client=http, base_addresses={"api": url.rstrip("/")})
    customer = api.v1.customers.retrieve("cus_1")
    made = api.v1.customers.create({"email": "ada@shop.test"}, {"idempotency_key": "k-1"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.customers.retrieve("missing")
    return customer.id, made.id, caught.value.code


def _use_atlassian(url: str, client: Plain) -> object:
    api = Jira(url=url, token=SDK_KEY, session=client.session())
    return api.issue("A-1")["key"], api.issue_add_comment("A-1", "hello")


def _use_jira(url: str, client: Plain) -> object:
    api = JIRA(url, token_auth=SDK_KEY, get_server_info=False, max_retries=0)
    client.mount(api._session)
    return api.issue("A-1").key, api.attachment("1").get()


def _use_zenpy(url: str, client: Plain) -> object:
    # The host is always SUBDOMAIN.DOMAIN: here 127 and 0.0.1 with the port.
    subdomain, _, domain = urlsplit(url).netloc.partition(".")
    api = Zenpy(subdomain=subdomain, domain=domain, oauth_token=SDK_KEY, session=client.session())
    api.tickets.protocol = "http"
    return [ticket.id for ticket in api.tickets()]


def _use_airtable(url: str, client: Plain) -> object:
    api = pyairtable.Api(SDK_KEY, endpoint_url=url)
    client.mount(api.session)
    table = api.table("app1", "Things")
    return table.all(), table.create({"Name": "ü"})


def _use_prawcore(url: str, client: Plain) -> object:
    base = url.rstrip("/")
    agent, session = "agent/1.0 (by test)", client.session()
    requestor = prawcore.Requestor(user_agent=agent, oauth_url=base, reddit_url=base, session=session)
    authenticator = prawcore.UntrustedAuthenticator(client_id="client-id", requestor=requestor)
    authorizer = prawcore.ImplicitAuthorizer(
        authenticator=authenticator, access_token=SDK_KEY, expires_in=3600, scope="identity"
    )
    return prawcore.Session(authorizer=authorizer).request(method="GET", path="/api/v1/me")


def _use_tweepy(url: str, client: Plain) -> object:
    api = tweepy.Client(bearer_token=SDK_KEY)
    moved(client.mount(api.session), "https://api.twitter.com/", url)
    return api.get_user(username="ada").data["name"]


def _use_mastodon(url: str, client: Plain) -> object:
    api = mastodon.Mastodon(
        access_token=SDK_KEY, api_base_url=url, session=client.session(), version_check_mode="none"
    )
    return api.account_verify_credentials()["username"], api.status_post("hello")["id"]


def _use_trello(url: str, client: Plain) -> object:
    session = moved(client.session(), "https://api.trello.com/", url)
    api = trello.TrelloClient(api_key=SDK_KEY, token=SDK_KEY, http_service=session)
    return [board.name for board in api.list_boards()]


def _use_hvac(url: str, client: Plain) -> object:
    api = hvac.Client(url=url, token=SDK_KEY, session=client.session())
    found = api.secrets.kv.v2.read_secret_version("a/b", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.InvalidPath):
        api.secrets.kv.v2.read_secret_version("missing", raise_on_deleted_version=True)
    return found["data"]


def _use_gql(url: str, client: Plain) -> object:
    class Transport(RequestsHTTPTransport):
        def connect(self) -> None:
            super().connect()
            client.mount(self.session)

    transport = Transport(f"{url}graphql", headers={"Authorization": f"Bearer {SDK_KEY}"})
    return GqlClient(transport=transport).execute(gql("{ me { name } }"))


def _use_zeep(url: str, client: Plain) -> object:
    api = zeep.Client(f"{url}wsdl", transport=zeep.Transport(session=client.session()))
    return api.service.Greet("Ada")


def _use_github3(url: str, client: Plain) -> object:
    session = client.mount(github3.session.GitHubSession())
    session.base_url = url.rstrip("/")
    session.token_auth(SDK_KEY)
    return github3.GitHub(session=session).rate_limit()["resources"]


WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:t="urn:t" xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t">
<message name="In"><part name="name" type="x:string"/></message>
<message name="Out"><part name="text" type="x:string"/></message>
<portType name="P"><operation name="Greet"><input message="t:In"/><output message="t:Out"/></operation>
</portType>
<binding name="B" type="t:P"><soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
<operation name="Greet"><soap:operation soapAction="greet"/>
<input><soap:body use="literal" namespace="urn:t"/></input>
<output><soap:body use="literal" namespace="urn:t"/></output></operation></binding>
<service name="S"><port name="P" binding="t:B"><soap:address location="http://HOST/soap"/></port></service>
</definitions>"""
SOAP = b"""<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>
<t:GreetResponse xmlns:t="urn:t"><text>Hello Ada</text></t:GreetResponse></e:Body></e:Envelope>"""
PROJECT = {"id": 7, "name": "seven"}
ISSUE = {"id": "1", "key": "A-1", "self": "http://HOST/x", "fields": {"summary": "s"}}
USER = {"id": "1", "username": "ada", "name": "Ada"}
RECORD = {"id": "rec1", "createdTime": "2026-01-01T00:00:00Z", "fields": {"Name": "ü"}}
STATUS = {"id": "9", "content": "hello", "account": USER}
ROUTES: dict[tuple[str, str], Any] = {
    ("GET", "/api/v4/projects/7"): PROJECT,
    ("POST", "/api/v4/projects/7/issues"): {"id": 3, "iid": 3},
    ("GET", "/services/data/v59.0/query/"): {"records": [{"Id": "1"}], "done": True},
    ("POST", "/services/data/v59.0/sobjects/Account/"): Reply({"id": "2", "success": True}, 201),
    ("GET", "/v1/customers/cus_1"): {"id": "cus_1", "object": "customer"},
    ("POST", "/v1/customers"): {"id": "cus_2", "object": "customer"},
    ("GET", "/v1/customers/missing"): Reply(
        {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such"}}, 404
    ),
    ("GET", "/rest/api/2/issue/A-1"): ISSUE,
    ("POST", "/rest/api/2/issue/A-1/comment"): {"id": "5"},
    ("GET", "/rest/api/2/attachment/1"): {"id": "1", "self": "x", "content": "http://HOST/secure/1"},
    ("GET", "/secure/1"): Reply(status=302, headers=(("Location", "/file/1"),)),
    ("GET", "/file/1"): Reply(b"x" * 10_000, headers=(("Content-Type", "text/plain"),)),
    ("GET", "/api/v2/tickets.json"): {"tickets": [{"id": 1}, {"id": 2}], "count": 2, "next_page": None},
    ("GET", "/v0/app1/Things"): {"records": [RECORD]},
    ("POST", "/v0/app1/Things"): RECORD,
    ("GET", "/api/v1/me"): {"name": "ada"},
    ("GET", "/2/users/by/username/ada"): {"data": USER},
    ("GET", "/api/v1/accounts/verify_credentials"): USER,
    ("POST", "/api/v1/statuses"): STATUS,
    ("GET", "/1/members/me/boards/"): [{"id": "b", "name": "board", "closed": False, "url": "u"}],
    ("GET", "/v1/secret/data/a/b"): {"data": {"data": {"k": "v"}}},
    ("GET", "/v1/secret/data/missing"): Reply({"errors": []}, 404),
    ("POST", "/graphql"): {"data": {"me": {"name": "Ada"}}},
    ("GET", "/wsdl"): Reply(WSDL.encode(), headers=(("Content-Type", "text/xml"),)),
    ("POST", "/soap"): Reply(SOAP, headers=(("Content-Type", "text/xml"),)),
    ("GET", "/rate_limit"): {"resources": {"core": {"limit": 5000}}},
}


def respond(received: Received) -> Any:
    """The API of every SDK here."""
    parts = urlsplit(received.target)
    if parts.path == "/api/v4/projects":
        page = dict(parse_qsl(parts.query)).get("page", "1")
        link = f'<http://{received.headers["host"]}/api/v4/projects?page=2&per_page=2>; rel="next"'
        return Reply([PROJECT, PROJECT], headers=(("Link", link),) if page == "1" else ())
    reply = ROUTES.get((received.method, parts.path), Reply({"error": "no route"}, 404))
    body, status, headers = reply if isinstance(reply, Reply) else Reply(reply)
    if isinstance(body, bytes):
        return Reply(body.replace(b"HOST", received.headers["host"].encode()), status, headers)
    if isinstance(body, dict):
        body = {
            name: value.replace("HOST", received.headers["host"]) if isinstance(value, str) else value
            for name, value in body.items()
        }
    return Reply(body, status, headers)


BEARER = {"headers": {"Authorization": "Bearer ${api_key}"}}
TRELLO = 'OAuth oauth_consumer_key="${api_key}", oauth_token="${api_key}"'
SDKS: dict[str, tuple[Callable[[str, Plain], object], dict[str, Any]]] = {
    "python-gitlab": (_use_gitlab, BEARER),
    "simple-salesforce": (_use_salesforce, BEARER),
    "stripe": (_use_stripe, BEARER),
    "atlassian-python-api": (_use_atlassian, BEARER),
    "jira": (_use_jira, BEARER),
    "zenpy": (_use_zenpy, BEARER),
    "pyairtable": (_use_airtable, BEARER),
    "prawcore": (_use_prawcore, {"headers": {"Authorization": "bearer ${api_key}"}}),
    "tweepy": (_use_tweepy, BEARER),
    "Mastodon.py": (_use_mastodon, BEARER),
    "py-trello": (_use_trello, {"headers": {"Authorization": TRELLO}}),
    "hvac": (_use_hvac, {"headers": {"X-Vault-Token": "${api_key}"}}),
    "gql": (_use_gql, BEARER),
    "zeep": (_use_zeep, BEARER),
    "github3.py": (_use_github3, {"headers": {"Authorization": "token ${api_key}"}}),
}
OF_THE_SENDER = {"connection", "host"}
DIFFERENT_EACH_TIME = {"idempotency-key", "x-stripe-client-telemetry", "x-stripe-client-user-agent"}


def shape(received: Received) -> tuple[object, ...]:
    """What must be the same: everything but the credential and what the sender decides."""
    left_out = OF_THE_SENDER | DIFFERENT_EACH_TIME | {"authorization"}
    headers = {
        name: value.replace(KEY, SDK_KEY) for name, value in received.headers.items() if name not in left_out
    }
    target = urlsplit(received.target)
    query = sorted(parse_qsl(target.query.replace(KEY, SDK_KEY), keep_blank_values=True))
    return received.method, target.path, query, headers, received.body.replace(KEY.encode(), SDK_KEY.encode())


@pytest.mark.parametrize("name", SDKS)
def test_an_sdk_works_as_with_a_plain_session(name: str, tmp_path: Path) -> None:
    """Results and requests are equal; each has the connection's credential, and none the SDK's."""
    use, sends = SDKS[name]
    with RecordingServer(respond) as server:
        expected = use(server.url, Plain())
        plain = [shape(received) for received in server.received]
        server.received.clear()
        requests_block = {"base_url": server.url, "allow_http": True, **sends}
        with connected(tmp_path, server.url, requests=requests_block) as nango:
            found = use(server.url, Ours(nango))
        ours = list(server.received)
    assert found == expected
    for received, wanted in zip(ours, plain, strict=True):
        assert shape(received) == wanted
    assert plain
    assert all(KEY in repr(received) for received in ours)
    assert SDK_KEY not in repr(ours)
