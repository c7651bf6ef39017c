"""Imports from today's Nango: every type of credentials, and a word about all that has no place here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nango_py import ConfigError, ImportReport, Nango
from nango_py.registry import AUTH_MODES
from nango_py.secret import reveal
from nango_py.transfer.nango.credential_fields import TYPES
from tests.support.nango_exports import CREDENTIALS, EVERY_RESPONSE, LEFT, TAKEN, a_response
from tests.support.transfer_products import MODES, a_nango, an_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def nango() -> Iterator[Nango]:
    """A product with an integration of every auth mode."""
    with a_nango("sqlite:///:memory:") as opened:
        yield opened


def imported(nango: Nango, folder: Path, *responses: Any, **options: Any) -> ImportReport:
    """The report for these responses in one file."""
    path = folder / "responses.json"
    path.write_text(json.dumps(list(responses)))
    return nango.import_from_nango(path, **options)


def left(report: ImportReport) -> set[str]:
    """The fields that were left out, but those that every response has."""
    return {each.field for each in report.left_out} - EVERY_RESPONSE


@pytest.mark.parametrize(("kind", "integration"), TAKEN)
def test_every_type_of_credentials_is_imported(
    nango: Nango, tmp_path: Path, kind: str, integration: str
) -> None:
    """In the words of the auth mode, with what it has no word for reported."""
    report = imported(nango, tmp_path, a_response(kind, integration))
    assert report.imported == 1
    connection = nango.store.get(integration, "user-1")
    assert reveal(connection.credentials) == TAKEN[kind, integration]
    assert connection.additional_config == {}
    assert left(report) == LEFT.get(kind, set())
    assert {each.field for each in report.left_out} >= EVERY_RESPONSE
    assert connection.date_created == datetime(2024, 3, 8, 10, 43, 3, 123000, tzinfo=UTC)
    assert connection.last_modified == datetime(2025, 3, 8, 10, 43, 3, 456000, tzinfo=UTC)
    assert connection.status == "active"
    again = imported(nango, tmp_path, a_response(kind, integration))
    assert (again.imported, again.unchanged) == (0, 1)


def test_the_corpus_and_the_table_know_the_same() -> None:
    """Every auth mode named by the table exists, and the types people have most are all in the corpus."""
    assert {mode for modes in TYPES.values() for mode in modes} <= set(AUTH_MODES.names())
    assert set(CREDENTIALS) <= set(TYPES)
    assert {kind for kind, _ in TAKEN} == set(CREDENTIALS)
    for modes in TYPES.values():
        for mode, words in modes.items():
            assert set(words.values()) <= set(AUTH_MODES.get(mode).credentials_schema["properties"])


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"privateKey": {"id": "i", "secret": "s"}}, {"private_key": "s", "private_key_id": "i"}),
        (
            {"privateKey": f"{'0a' * 12}:{'1b' * 32}"},
            {"private_key": "1b" * 32, "private_key_id": "0a" * 12},
        ),
        (
            {"privateKey": "-----BEGIN PRIVATE KEY-----\na:b"},
            {"private_key": "-----BEGIN PRIVATE KEY-----\na:b"},
        ),
    ],
    ids=["object", "ghost", "pem"],
)
def test_a_key_comes_in_three_forms(
    nango: Nango, tmp_path: Path, given: dict[str, Any], taken: dict[str, str]
) -> None:
    """As an object with its id, as Ghost's id:secret, and as it is."""
    imported(nango, tmp_path, a_response("JWT", "jwt", credentials={"type": "JWT", **given}))
    assert reveal(nango.store.get("jwt", "user-1").credentials) == taken


def test_a_client_certificate_becomes_one(nango: Nango, tmp_path: Path) -> None:
    """With the client's secret, or alone where the integration logs in by it."""
    pem = "-----BEGIN CERTIFICATE-----\nx", "-----BEGIN PRIVATE KEY-----\nplanted"
    given = {**CREDENTIALS["OAUTH2_CC"], "client_certificate": pem[0], "client_private_key": pem[1]}
    report = imported(nango, tmp_path, a_response("OAUTH2_CC", "mtls", credentials=given))
    assert reveal(nango.store.get("mtls", "user-1").credentials) == {
        "client_certificate": pem[0], "client_key": pem[1],
    }  # fmt: skip
    assert "credentials.client_secret" in left(report)
    report = imported(nango, tmp_path, a_response("OAUTH2_CC", "oauth2-cc", credentials=given))
    assert left(report) == set()
    stored = reveal(nango.store.get("oauth2-cc", "user-1").credentials)
    assert (stored["client_certificate"], stored["client_key"]) == pem


def test_a_missing_refresh_token_is_reported(nango: Nango, tmp_path: Path) -> None:
    """A token without a refresh token expires; the response only has one on request."""
    given = {name: value for name, value in CREDENTIALS["OAUTH2"].items() if name != "refresh_token"}
    report = imported(nango, tmp_path, a_response("OAUTH2", "oauth2", credentials=given))
    (field,) = [each for each in report.left_out if each.field == "credentials.refresh_token"]
    assert "refresh_token=true" in field.why
    within = {**given, "raw": {"refresh_token": "rt-of-raw"}}
    report = imported(nango, tmp_path, a_response("OAUTH2", "oauth2", user="user-2", credentials=within))
    assert left(report) == set()
    assert reveal(nango.store.get("oauth2", "user-2").credentials)["refresh_token"] == "rt-of-raw"
    for_ever = {"type": "OAUTH2", "access_token": "planted"}
    assert not left(imported(nango, tmp_path, a_response("OAUTH2", "oauth2", "user-3", credentials=for_ever)))


@pytest.mark.parametrize("mask", ["REDACTED", "[redacted]", "********"])
def test_masked_credentials_are_refused(nango: Nango, tmp_path: Path, mask: str) -> None:
    """A mask is not stored as if it were a key; the message says what to ask with."""
    given = {**CREDENTIALS["OAUTH2"], "refresh_token": mask}
    with pytest.raises(ConfigError, match=r"masked credentials.*read_credentials") as caught:
        imported(nango, tmp_path, a_response("OAUTH2", "oauth2", credentials=given))
    assert "planted" not in str(caught.value)
    masked = {"type": "API_KEY", "apiKey": "x", "raw": {"deep": [mask]}}
    with pytest.raises(ConfigError, match="masked"):
        imported(nango, tmp_path, a_response("API_KEY", "api-key", credentials=masked))


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ({"connections": []}, "the response of GET /connections has no credentials"),
    "no object": (7, "expected the JSON object"),
    "no key": (a_response("NONE", provider_config_key=""), "provider_config_key is missing"),
    "no id": (a_response("NONE", connection_id=None), "connection_id is missing"),
    "no credentials": (
        {"provider_config_key": "none", "connection_id": "u"},
        "credentials is missing",
    ),
    "empty credentials": (a_response("NONE", "api-key"), "api-key/user-1 has no credentials"),
    "credentials are a text": (
        a_response("NONE", "none", credentials="planted"),
        "credentials must be an object",
    ),
    "no type": (
        a_response("NONE", "api-key", credentials={"apiKey": "planted"}),
        'of type ""; expected one of',
    ),
    "unknown type": (a_response("NONE", "none", credentials={"type": ["NEW"]}), "of type \"['NEW']\""),
    "other mode": (
        a_response("API_KEY", "oauth2"),
        "oauth2/user-1 has credentials of type API_KEY, but the integration's auth_mode is OAUTH2",
    ),
    "incomplete": (
        a_response("OAUTH1", "oauth1", credentials={"type": "OAUTH1", "oauth_token": "planted"}),
        'oauth1/user-1: OAUTH1 needs credential "oauth_token_secret"',
    ),
    "wrong kind": (
        a_response("API_KEY", "api-key", credentials={"type": "API_KEY", "apiKey": ["planted"]}),
        'api-key/user-1: credential "api_key" must be string',
    ),
    "wrong date": (
        a_response("OAUTH2", "oauth2", credentials={**CREDENTIALS["OAUTH2"], "expires_at": "soon"}),
        '"expires_at" must be ISO 8601 text',
    ),
    "unknown integration": (
        a_response("API_KEY", "api-kye"),
        'unknown integration "api-kye"; did you mean "api-key"?',
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_responses_that_cannot_be_imported_are_rejected(nango: Nango, tmp_path: Path, case: str) -> None:
    """The message has the place, and no credential; the good response beside it is not stored either."""
    response, said = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        imported(nango, tmp_path, a_response("NONE", "none", "good"), response)
    assert said in str(caught.value)
    assert "responses.json[1]: error[E60" in str(caught.value)
    assert "planted" not in str(caught.value)
    assert nango.connections_for_integration("none") == []


def test_all_problems_are_named_at_once(nango: Nango, tmp_path: Path) -> None:
    """One line for each, in the order of the file."""
    responses = [response for response, _ in WRONG.values()]
    report = imported(nango, tmp_path, *responses, dry_run=True)
    assert len(report.problems) == len(responses)
    with pytest.raises(ConfigError) as caught:
        imported(nango, tmp_path, *responses)
    assert len(caught.value.problems) == len(responses)


def test_names_are_mapped(nango: Nango, tmp_path: Path) -> None:
    """A provider_config_key becomes the integration that it is said to be."""
    report = imported(nango, tmp_path, a_response("API_KEY", "shop-prod"), names={"shop-prod": "api-key"})
    assert report.imported == 1
    assert nango.connection("api-key", "user-1")
    with pytest.raises(ConfigError, match='unknown integration "api-kye"'):
        imported(nango, tmp_path, a_response("API_KEY", "shop-prod"), names={"shop-prod": "api-kye"})


def test_the_user_can_be_the_end_user(nango: Nango, tmp_path: Path) -> None:
    """Then connection_id is reported as left out; two connections of one end user are a problem."""
    end_user = {"id": "ada", "email": "ada@example.test", "display_name": None, "organization": {"id": "o"}}
    response = a_response("API_KEY", "api-key", end_user=end_user)
    report = imported(nango, tmp_path, response, user_from="end_user")
    assert nango.connection("api-key", "ada")
    assert left(report) == {"end_user.email", "end_user.organization", "connection_id"}
    with pytest.raises(ConfigError, match="user-2: there is no end_user with an id"):
        imported(nango, tmp_path, a_response("API_KEY", "api-key", "user-2"), user_from="end_user")
    with pytest.raises(ConfigError, match=r"api-key/ada .*twice"):
        imported(nango, tmp_path, response, {**response, "connection_id": "user-9"}, user_from="end_user")
    report = imported(nango, tmp_path, response)
    assert left(report) == {"end_user.id", "end_user.email", "end_user.organization"}
    with pytest.raises(ValueError, match="user_from must be one of connection_id, end_user"):
        imported(nango, tmp_path, response, user_from="email")


SCHEMA = {
    "type": "object",
    "required": ["subdomain"],
    "properties": {
        "subdomain": {"type": "string", "pattern": "^[a-z]+$"},
        "tenant_id": {"type": "string"},
        "size": {"type": "integer"},
        "region": {"type": "string"},
        "site_token": {"type": "string"},
    },
}
CONFIG = {
    "subDomain": "acme",
    "tenantId": 12,
    "size": 3,
    "siteToken": "declared",
    "extra": "x",
    "empty": None,
    "oauth_client_id_override": "other",
    "oauth_client_secret_override": "planted",
    "jwtToken": "planted",
    "userCredentials": {"access_token": "planted"},
    "nested": {"deep": {"api_key": "planted"}},
}
SECRET = {
    f"connection_config.{name}"
    for name in (
        "oauth_client_id_override",
        "oauth_client_secret_override",
        "jwtToken",
        "userCredentials",
        "nested",
    )
}


def test_connection_config_fits_what_the_blueprint_declares(tmp_path: Path) -> None:
    """Names in its spelling, numbers as the text it declares; secrets are shown nowhere and so not taken."""
    integrations = {"it": an_entry("AWS_SIGV4", connection_config=SCHEMA)}
    response = a_response("AWS_SIGV4", "it", connection_config=CONFIG, metadata={"plan": {"a": [1]}})
    with a_nango("sqlite:///:memory:", integrations) as nango:
        report = imported(nango, tmp_path, response)
        assert nango.connection("it", "user-1")["additional_config"] == {
            "subdomain": "acme",
            "tenant_id": "12",
            "size": 3,
            "site_token": "declared",
            "region": "eu-west-1",
            "extra": "x",
            "metadata": {"plan": {"a": [1]}},
        }
    expected = SECRET | LEFT["AWS_SIGV4"] - {"credentials.region"}
    assert left(report) == expected


def test_a_closed_connection_config_takes_nothing_else(tmp_path: Path) -> None:
    """Where it allows no further names, further values and metadata are reported."""
    integrations = {"it": an_entry("API_KEY", connection_config={**SCHEMA, "additionalProperties": False})}
    response = a_response("API_KEY", "it", connection_config=CONFIG, metadata={"plan": 1})
    with a_nango("sqlite:///:memory:", integrations) as nango:
        report = imported(nango, tmp_path, response)
        assert set(nango.connection("it", "user-1")["additional_config"]) == {
            "subdomain", "tenant_id", "size", "site_token",
        }  # fmt: skip
    assert left(report) == {*SECRET, "connection_config.extra", "metadata"}


def test_a_field_with_another_name_is_given_one(tmp_path: Path) -> None:
    """Without it the missing field is named."""
    integrations = {"it": an_entry("API_KEY", connection_config=SCHEMA)}
    response = a_response("API_KEY", "it", connection_config={"shop": "acme"})
    with a_nango("sqlite:///:memory:", integrations) as nango:
        with pytest.raises(ConfigError, match=r"it/user-1: additional_config\.subdomain is missing"):
            imported(nango, tmp_path, response)
        imported(nango, tmp_path, response, fields={"it.shop": "subdomain"})
        assert nango.connection("it", "user-1")["additional_config"] == {"subdomain": "acme"}


def test_everything_else_is_reported(nango: Nango, tmp_path: Path) -> None:
    """Counted by integration, with one user as an example, also fields of a newer Nango."""
    more = {
        "tags": {"a": "b"},
        "webhook_url_override": "https://x.test",
        "errors": [{"type": "auth"}],
        "new": 1,
    }
    responses = [
        a_response("API_KEY", "api-key", f"user-{n}", created_at="yesterday", **more) for n in range(3)
    ]
    report = imported(nango, tmp_path, *responses)
    assert left(report) == {*more, "created_at"}
    assert {(each.integration, each.connections, each.example) for each in report.left_out} == {
        ("api-key", 3, "user-0")
    }


FORMS = {
    "object": lambda one, two: {"a.json": json.dumps(one, indent=2), "b.json": json.dumps(two)},
    "array": lambda one, two: {"a.json": json.dumps([one, two], indent=2)},
    "short array": lambda one, two: {"a.json": json.dumps([one, two])},
    "lines": lambda one, two: {"a.jsonl": f"{json.dumps(one)}\n\n{json.dumps(two)}"},
    "byte order mark": lambda one, two: {"a.ndjson": f"\ufeff{json.dumps(one)}\r\n{json.dumps(two)}\r\n"},
    "other files beside": lambda one, two: {"a.json": json.dumps([one, two]), "README.md": "no JSON"},
}


@pytest.mark.parametrize("form", FORMS)
def test_files_come_in_several_forms(nango: Nango, tmp_path: Path, form: str) -> None:
    """One response, an array, or one on each line; a file, or a folder of files."""
    one, two = (a_response("API_KEY", "api-key", f"user-{n}") for n in range(2))
    files = FORMS[form](one, two)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert nango.import_from_nango(tmp_path).imported == 2
    first = tmp_path / next(iter(files))
    assert nango.import_from_nango(first).unchanged == (1 if form == "object" else 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"connection_id": "planted"', "responses.json:1:28: error[E601]: is not JSON: Expecting"),
        (b'{"a": 1}\n{"planted', "responses.json:2:1: error[E601]: the line is not a JSON object"),
        (b"\xff\xfe", "responses.json: error[E601]: is not UTF-8"),
        (b"", "responses.json:1:1: error[E601]: is not JSON"),
    ],
)
def test_what_is_not_json_is_named_by_its_place(
    nango: Nango, tmp_path: Path, content: bytes, said: str
) -> None:
    """And nothing of it is shown."""
    path = tmp_path / "responses.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        nango.import_from_nango(path)
    assert said in str(caught.value)
    assert "planted" not in str(caught.value)


def test_missing_files_are_reported(nango: Nango, tmp_path: Path) -> None:
    """A missing file, and a folder without any."""
    with pytest.raises(ConfigError, match=r"nowhere: error\[E601\]: cannot be read: No such file"):
        nango.import_from_nango(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"the folder has no file that ends in \.json"):
        nango.import_from_nango(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
RESPONSE_FIELDS = sorted(a_response("NONE"))
CREDENTIAL_FIELDS = sorted({name for given in CREDENTIALS.values() for name in given})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(CREDENTIALS)),
    integration=st.sampled_from(sorted(MODES)),
    changes=st.dictionaries(st.sampled_from(RESPONSE_FIELDS), JSON, max_size=3),
    credentials=st.dictionaries(st.sampled_from(CREDENTIAL_FIELDS) | st.text(max_size=6), JSON, max_size=3),
)
def test_any_json_gives_a_report(
    nango: Nango, tmp_path: Path, kind: str, integration: str, changes: Any, credentials: Any
) -> None:
    """Any JSON at any place is imported or reported as a problem; nothing raises an unexpected error."""
    given_credentials = {**CREDENTIALS[kind], **credentials}
    response = {**a_response(kind, integration, credentials=given_credentials), **changes}
    report = imported(nango, tmp_path, response, dry_run=True, on_existing="replace")
    assert report.total + len(report.problems) >= 1
    if report.ok:
        done = imported(nango, tmp_path, response, on_existing="replace")
        assert done.total == 1
        assert imported(nango, tmp_path, response).unchanged == 1


NAMES = st.text("abcdefgXYZ_", min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.sampled_from(sorted(TAKEN)),
    config=st.lists(
        NAMES | st.sampled_from(["subdomain", "sub_domain", "apiToken"]), max_size=4, unique=True
    ),
    credentials=st.lists(NAMES | st.sampled_from(CREDENTIAL_FIELDS), max_size=4, unique=True),
    fields=st.lists(NAMES, max_size=4, unique=True),
    is_closed=st.booleans(),
)
def test_nothing_is_dropped_silently(
    tmp_path: Path,
    case: tuple[str, str],
    config: list[str],
    credentials: list[str],
    fields: list[str],
    is_closed: bool,  # noqa: FBT001 - drawn
) -> None:
    """Every planted value is in the stored connection, or its field is reported as left out."""
    kind, integration = case
    schema = {
        "type": "object",
        "properties": {"subdomain": {"type": "string"}},
        "additionalProperties": not is_closed,
    }
    planted = {name: f"credential-{number}" for number, name in enumerate(credentials) if name != "type"}
    settled = {name: f"config-{number}" for number, name in enumerate(config)}
    beside = {f"x{name}": f"field-{number}" for number, name in enumerate(fields)}
    response = a_response(
        kind, "it", credentials={**CREDENTIALS[kind], **planted}, connection_config=settled,
        metadata={"m": "metadata-0"}, tags={"t": "tag-0"}, **beside,
    )  # fmt: skip
    entry = an_entry(MODES[integration]["auth"]["auth_mode"], connection_config=schema)
    with a_nango("sqlite:///:memory:", {"it": entry}) as nango:
        report = imported(nango, tmp_path, response, dry_run=True)
        if not report.ok:
            return
        imported(nango, tmp_path, response)
        stored = nango.store.get("it", "user-1")
    kept = json.dumps([reveal(stored.credentials), reveal(stored.additional_config)])
    reported = {each.field for each in report.left_out}
    for group, values in (("credentials.", planted), ("connection_config.", settled), ("", beside)):
        for name, value in values.items():
            assert f'"{value}"' in kept or f"{group}{name}" in reported, name
    assert "metadata-0" in kept or "metadata" in reported
    assert "tags" in reported
