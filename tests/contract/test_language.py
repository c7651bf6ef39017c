"""What the blueprint language says beyond the usual: each subject with its proofs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nango_py.blueprint_tests.runner import find_differences
from nango_py.config.catalogue import Catalogue
from nango_py.errors import ConfigError, Position
from tests.support.fake_clock import ManualClock
from tests.support.format_keys import every_key
from tests.support.sandbox_logins import MAIL, log_in, product

if TYPE_CHECKING:
    from nango_py.blueprint_tests.difference import Difference

TESTS = Path(__file__).resolve().parents[1]


class Subject(NamedTuple):
    """A part of the language, and what proves it.

    Attributes:
        keys: its keys, as the reference writes them; () for a part without its own keys.
        mistakes: the test of its wrong forms.
        contract: the test of what it does.
        sandbox: the test that a sandbox does the same.
    """

    keys: tuple[str, ...]
    mistakes: str
    contract: str
    sandbox: str


HERE = "contract/test_language.py::test_examples_prove_it"
LIMITS, LOGINS = "unit/test_bad_limits.py", "unit/test_bad_login_keys.py"
REQUESTS = "unit/test_bad_request_keys.py"
WRONG = "test_a_wrong_key_is_refused_at_its_place"
DIALECTS = "e2e/test_sandbox_login_dialects.py"
SUBJECTS = {
    "accounts behind a login": Subject(
        ("auth.after_login", "auth.after_login[].choose", "auth.after_login[].keep_secret"),
        f"{LOGINS}::{WRONG}",
        "contract/test_login_blueprints.py::test_a_login_by_its_rules_is_stored_and_refreshed",
        f"{DIALECTS}::test_an_account_is_looked_up_at_the_sandbox",
    ),
    "paging": Subject(
        (
            "pagination",
            "pagination.next",
            "pagination.size",
            "pagination.relative_to",
            "endpoints[].pagination",
        ),
        "unit/test_pagination_mistakes.py::test_a_wrong_form_is_an_error_at_its_place",
        "contract/test_paginators.py::test_every_record_is_returned_once",
        "contract/test_page_servers.py::test_a_walk_gets_exactly_the_records",
    ),
    "hosts of a list": Subject(("hosts", "hosts.name.by"), f"{REQUESTS}::{WRONG}", HERE, HERE),
    "values of a callback": Subject(
        ("auth.keep_from_callback", "auth.callback_params", "auth.client_id_param", "auth.code_param"),
        f"{LOGINS}::{WRONG}",
        "contract/test_grants_in_parts.py::test_names_and_scopes_of_a_provider",
        f"{DIALECTS}::test_dialects_work_against_the_sandbox",
    ),
    "fields of bodies": Subject(
        ("requests.body", "requests.body_format"), f"{REQUESTS}::{WRONG}", HERE, HERE
    ),
    "own credentials": Subject(
        ("credentials", "app_credentials", "credentials.name.secret"),
        f"{REQUESTS}::{WRONG}",
        "contract/test_own_credentials.py::test_both_keys_are_sent",
        HERE,
    ),
    "waits in bodies": Subject(
        ("rate_limits.body", "rate_limits.body.wait"), f"{LIMITS}::{WRONG}", HERE, HERE
    ),
    "families of headers": Subject(
        ("rate_limits.headers", "rate_limits.budgets[].headers"), f"{LIMITS}::{WRONG}", HERE, HERE
    ),
    "refusals": Subject(
        ("rate_limits.refusals", "rate_limits.refusals[].closes", "rate_limits.counted_per"),
        f"{LIMITS}::{WRONG}",
        HERE,
        HERE,
    ),
    "limits by the call": Subject(
        ("rate_limits.budgets[].cases", "rate_limits.budgets[].cases[].match", "rate_limits.budgets[].cost"),
        f"{LIMITS}::{WRONG}",
        HERE,
        HERE,
    ),
    "several bases": Subject(("requests.bases", "endpoints[].base"), f"{REQUESTS}::{WRONG}", HERE, HERE),
    "calls that only read": Subject(
        ("endpoints[].safe",),
        f"{REQUESTS}::{WRONG}",
        "contract/test_endpoints.py::test_a_post_that_only_reads_may_be_repeated",
        HERE,
    ),
    "idempotency keys": Subject(("retries.idempotency",), f"{REQUESTS}::{WRONG}", HERE, HERE),
    "revocation": Subject(
        ("auth.revocation", "auth.revocation.url", "auth.revocation_url"),
        f"{LOGINS}::{WRONG}",
        "contract/test_language.py::test_a_grant_is_revoked",
        f"{DIALECTS}::test_a_grant_is_revoked_by_the_blueprints_own_request",
    ),
    "lives of tokens": Subject(
        ("auth.refresh_token_lifetime_seconds", "auth.renew_before_seconds", "auth.token_lifetime_seconds"),
        f"{LOGINS}::{WRONG}",
        "contract/test_language.py::test_tokens_end_as_declared",
        "e2e/test_sandbox_logins.py::test_tokens_expire_and_refresh_tokens_rotate",
    ),
    "scopes": Subject(
        ("auth.default_scopes", "scopes"),
        f"{LOGINS}::{WRONG}",
        "contract/test_grants_in_parts.py::test_client_credentials_ask_for_scopes_of_the_user",
        "contract/test_grants_in_parts.py::test_names_and_scopes_of_a_provider",
    ),
    "proof keys": Subject(
        ("auth.pkce",),
        f"{LOGINS}::{WRONG}",
        "contract/test_login_blueprints.py::test_pkce_is_stated_with_a_source",
        "e2e/test_sandbox_logins.py::test_pkce_is_checked",
    ),
    "several logins": Subject(
        ("logins",), "unit/test_logins.py::test_a_wrong_login_is_refused_at_its_place", HERE, HERE
    ),
    "other logins": Subject(
        ("auth.device_authorization_url", "auth.pushed_authorization_url", "auth.resource_url"),
        f"{LOGINS}::{WRONG}",
        "contract/test_language.py::test_a_login_on_another_device",
        f"{DIALECTS}::test_a_code_on_another_device_is_accepted_at_once",
    ),
    "sessions": Subject(
        ("auth.additional_steps", "auth.token_response"),
        f"{LOGINS}::{WRONG}",
        "contract/test_grants_in_parts.py::test_a_step_that_fails_loses_no_refresh_token",
        "contract/test_grants_in_parts.py::test_a_session_follows_each_token",
    ),
    "SAML assertions": Subject(
        ("auth.saml_assertion",),
        f"{LOGINS}::{WRONG}",
        "contract/test_grants_in_parts.py::test_a_saml_assertion_is_exchanged_for_a_token",
        "contract/test_grants_in_parts.py::test_the_sandbox_knows_users_by_their_assertions",
    ),
    "sources and changes": Subject(
        ("sources", "unconfirmed", "changes"),
        "unit/test_bad_inputs.py::test_a_wrong_input_is_refused_at_its_place_in_these_words",
        "contract/test_language.py::test_facts_name_keys_of_the_file",
        HERE,
    ),
    "XML": Subject(
        (),
        "contract/test_xml_bodies.py::test_hostile_xml_is_refused",
        "contract/test_xml_bodies.py::test_lists_errors_and_verification",
        HERE,
    ),
    "files at other hosts": Subject(
        ("requests.download_hosts", "requests.upload_hosts"),
        f"{REQUESTS}::test_a_wrong_key_of_requests_is_refused_at_its_place",
        "contract/test_uploads.py::test_the_other_host_gets_no_credential",
        "e2e/test_download_hosts.py::test_the_host_of_files_gets_no_credential",
    ),
    "uploads": Subject(
        ("endpoints[].upload",),
        f"unit/test_bad_upload_keys.py::{WRONG}",
        "contract/test_uploads.py::test_a_file_arrives_in_pieces",
        "contract/test_uploads.py::test_a_lost_response_is_no_loss",
    ),
}

HEAD = """\
name: acme
version: v1
title: Acme
docs_url: https://docs.acme.test/
auth: {auth_mode: API_KEY}
"""
REQUESTS_BLOCK = 'requests: {base_url: "https://api.acme.test/v1/", headers: {X-Key: "${api_key}"}}\n'
SENT = "headers: {X-Key: key_example_1234}"

# By subject: the file after its head, and a change of it that makes an example wrong.
PROOFS = {
    "hosts of a list": (
        """\
hosts: {api: {by: additional_config.region, us: api.acme.test, eu: api.eu.acme.test}}
connection_config: {required: [region], properties: {region: {type: string, title: Region, enum: [us, eu]}}}
requests: {base_url: "https://${hosts.api}/v1/", headers: {X-Key: "${api_key}"}}
examples:
  - call: {path: me}
    additional_config: {region: eu}
    sends: {url: "https://api.eu.acme.test/v1/me", headers: {X-Key: key_example_1234}}
    response: {status: 200, json: {}}
""",
        ("region: eu}", "region: us}"),
    ),
    "fields of bodies": (
        """\
requests: {base_url: "https://api.acme.test/v1/", body: {auth.key: "${api_key}"}, body_format: json}
examples:
  - call: {method: POST, path: items, json: {a: 1}}
    sends: {json: {a: 1, auth: {key: key_example_1234}}}
    response: {status: 200, json: {}}
""",
        ("sends: {json: {a: 1,", "sends: {json: {a: 2,"),
    ),
    "own credentials": (
        """\
credentials: {second: {title: Second key, secret: true}}
requests: {base_url: "https://api.acme.test/v1/", headers: {X-Key: "${api_key}", X-Second: "${second}"}}
examples:
  - call: {path: me}
    credentials: {api_key: key_test, second: second_test}
    sends: {headers: {X-Key: key_test, X-Second: second_test}}
    response: {status: 200, json: {}}
""",
        ("X-Second: second_test", "X-Second: other_test"),
    ),
    "waits in bodies": (
        REQUESTS_BLOCK
        + f"""\
rate_limits: {{body: {{wait: error.retry_in}}}}
examples:
  - call: {{path: me}}
    sends: {{{SENT}}}
    response: {{status: 429, json: {{error: {{retry_in: 12}}}}}}
    expects: {{wait_seconds: 12}}
""",
        ("wait_seconds: 12", "wait_seconds: 13"),
    ),
    "families of headers": (
        REQUESTS_BLOCK
        + f"""\
rate_limits:
  budgets:
    - name: tenant
      key: all
      otherwise: [60/minute, 5000/day]
      headers:
        - {{window: 60/minute, remaining: X-Minute-Left}}
        - {{window: 5000/day, remaining: X-Day-Left}}
  headers: {{retry_after: X-Wait}}
examples:
  - call: {{path: me}}
    sends: {{{SENT}}}
    response: {{status: 429, headers: {{X-Wait: "7", X-Minute-Left: "0", X-Day-Left: "9"}}}}
    expects: {{wait_seconds: 7, counts: [60/minute, 5000/day]}}
""",
        ("wait_seconds: 7", "wait_seconds: 8"),
    ),
    "refusals": (
        REQUESTS_BLOCK
        + f"""\
rate_limits:
  budgets:
    - {{name: tenant, key: all, otherwise: [10/second]}}
    - {{name: app, key: app, counted_per: integration, otherwise: [100/second]}}
  refusals:
    - {{when: {{status: 429, header: {{X-Problem: app}}}}, closes: app}}
    - {{when: {{status: 429}}, closes: tenant}}
examples:
  - call: {{path: me}}
    sends: {{{SENT}}}
    response: {{status: 429, headers: {{X-Problem: app}}}}
    expects: {{closes: app}}
""",
        ("expects: {closes: app", "expects: {closes: tenant"),
    ),
    "limits by the call": (
        REQUESTS_BLOCK
        + f"""\
rate_limits:
  budgets:
    - key: all
      cases: [{{match: {{method: POST, body: {{kind: bulk}}}}, windows: [20/day], cost: 5}}]
      otherwise: [10/second]
examples:
  - call: {{method: POST, path: items, json: {{kind: bulk}}}}
    sends: {{{SENT}}}
    response: {{status: 200, json: {{}}}}
    expects: {{counts: [5 of 20/day]}}
""",
        ("expects: {counts: [5", "expects: {counts: [6"),
    ),
    "several bases": (
        """\
requests:
  base_url: https://api.acme.test/v1/
  bases: {files: "https://files.acme.test/"}
  headers: {X-Key: "${api_key}"}
endpoints: [{match: {path: "content/**"}, base: files}]
examples:
  - call: {path: content/1}
    sends: {url: "https://files.acme.test/content/1", headers: {X-Key: key_example_1234}}
    response: {status: 200, json: {}}
""",
        ("path: content/1}", "path: contents/1}"),
    ),
    "calls that only read": (
        REQUESTS_BLOCK
        + f"""\
endpoints: [{{match: {{path: search}}, safe: true}}]
examples:
  - call: {{method: POST, path: search, json: {{}}}}
    sends: {{{SENT}}}
    response: {{status: 503}}
    expects: {{retries: true}}
""",
        ("safe: true", "safe: false"),
    ),
    "idempotency keys": (
        REQUESTS_BLOCK
        + f"""\
retries: {{idempotency: {{header: Idempotency-Key, methods: [POST]}}}}
examples:
  - call: {{method: POST, path: items, json: {{}}}}
    sends: {{{SENT}}}
    response: {{status: 503}}
    expects: {{retries: true}}
""",
        ("methods: [POST]", "methods: [PUT]"),
    ),
    "several logins": (
        """\
requests: {base_url: "https://api.acme.test/v1/"}
logins:
  key: {requests: {headers: {X-Key: "${api_key}"}}}
  other: {requests: {headers: {X-Other: "${api_key}"}}}
examples:
  - call: {path: me}
    sends: {headers: {X-Key: key_example_1234}}
    response: {status: 200, json: {}}
  - login: other
    call: {path: me}
    sends: {headers: {X-Other: key_example_1234}}
    response: {status: 200, json: {}}
""",
        ("- login: other", "- login: key"),
    ),
    "sources and changes": (
        REQUESTS_BLOCK
        + f"""\
sources: [{{covers: requests.base_url, url: "https://docs.acme.test/", read_on: 2026-11-30}}]
unconfirmed: [errors]
errors: {{code: error.code}}
examples:
  - call: {{path: me}}
    sends: {{{SENT}}}
    response: {{status: 400, json: {{error: {{code: bad}}}}}}
    expects: {{error: bad}}
""",
        ("expects: {error: bad", "expects: {error: worse"),
    ),
    "XML": (
        REQUESTS_BLOCK
        + f"""\
errors: {{code: Error.Code, message: Error.Message}}
retries: {{rules: [{{when: {{status: 200, json: {{path: Error.Code, equals: Slow}}}}, do: wait}}]}}
examples:
  - call: {{path: me}}
    sends: {{{SENT}}}
    response:
      status: 403
      headers: {{Content-Type: application/xml}}
      text: <Error><Code>Denied</Code><Message>No.</Message></Error>
    expects: {{error: Denied, retries: false}}
  - call: {{path: items}}
    sends: {{{SENT}}}
    response:
      status: 200
      headers: {{Content-Type: application/xml}}
      text: <Error><Code>Slow</Code></Error>
    expects: {{error: Slow, retries: true}}
""",
        ("equals: Slow", "equals: Fast"),
    ),
}


def differences(folder: Path, text: str) -> list[Difference]:
    """What `nango blueprints test` finds in a file."""
    (folder / "acme.v1.yaml").write_text(HEAD + text)
    catalogue = Catalogue([("local", folder)])
    return find_differences(catalogue.find("acme:v1", Position("test")), catalogue)


@pytest.mark.parametrize("subject", PROOFS)
def test_examples_prove_it(tmp_path: Path, subject: str) -> None:
    """The sandbox of the file responds as the examples say; after one change, the file is found wrong."""
    text, (old, new) = PROOFS[subject]
    assert differences(tmp_path, text) == []
    assert old in text
    assert differences(tmp_path, text.replace(old, new, 1)) != []


def test_a_grant_is_revoked() -> None:
    """A deleted connection sends the request that the blueprint describes; its tokens are refused then."""
    own = {"method": "DELETE", "url": "https://login.mail.test/grants/${access_token}"}
    with product({**MAIL, "auth": {**MAIL["auth"], "revocation": own}}) as (nango, api):
        assert log_in(nango, api).ok
        given = nango.store.get("it", "ada").credentials
        nango.delete_connection("it", "ada")
        assert api.login_ledger.received[-1].method == "DELETE"
        nango.register_connection("it", "eve", {"access_token": given["access_token"].reveal()})
        assert nango.executor("it", "eve").get("me").status_code == 401


def test_tokens_end_as_declared() -> None:
    """A token is refreshed by `renew_before_seconds` before its end; a refresh token ends without use."""
    clock = ManualClock()
    lives = {"renew_before_seconds": 600, "refresh_token_lifetime_seconds": 86_400}
    with product({**MAIL, "auth": {**MAIL["auth"], **lives}}, clock=clock) as (nango, api):
        assert log_in(nango, api).ok
        executor = nango.executor("it", "ada")
        for seconds, requests in ((2990, 1), (20, 2), (90_000, 3)):
            clock.sleep(seconds)
            if requests == 3:
                assert executor.verify().outcome == "refused"
            else:
                assert executor.get("me").status_code == 200
            assert len(api.login_ledger.received) == requests


def test_a_login_on_another_device() -> None:
    """The user enters a code elsewhere (RFC 8628); the connection is stored when the user has agreed."""
    auth = {**MAIL["auth"], "device_authorization_url": "https://login.mail.test/device"}
    with product({**MAIL, "auth": auth}) as (nango, api):
        begun = nango.logins.begin_device("it", "ada")
        assert begun.user_code == "SAND-BOX1"
        assert begun.wait().ok
        assert nango.executor("it", "ada").get("me").status_code == 200
        assert api.ledger.received[-1].status == 200


def test_facts_name_keys_of_the_file(tmp_path: Path) -> None:
    """A path of a source that names no key is an error at its place."""
    text = PROOFS["sources and changes"][0].replace("requests.base_url,", "requests.base_urls,")
    with pytest.raises(ConfigError) as caught:
        differences(tmp_path, text)
    (problem,) = caught.value.problems
    assert (problem.code, problem.position.line) == ("E325", 7)


def test_each_subject_names_its_proofs() -> None:
    """Keys are those of the format, and the tests exist; every other key of a file is a usual one."""
    keys = every_key()
    for name, subject in SUBJECTS.items():
        assert set(subject.keys) <= keys.keys(), name
        mistakes = (TESTS / subject.mistakes.partition("::")[0]).read_text("utf-8")
        unnamed = {
            text for text in subject.keys if not re.search(rf"\b{re.split(r'[.]', text)[-1]}\b", mistakes)
        }
        assert not unnamed, f"{name}: no wrong form of {unnamed}"
        for proof in subject[1:]:
            file, _, test = proof.partition("::")
            tree = ast.parse((TESTS / file).read_text("utf-8"))
            tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert (test in tests) if test else tests, f"{name}: {proof}"
        assert (name in PROOFS) == (HERE in subject), name
    top = {text.partition(".")[0].partition("[")[0] for subject in SUBJECTS.values() for text in subject.keys}
    assert {text for text in keys if "." not in text and "[" not in text} - top == USUAL


USUAL = {
    "account",
    "actions",
    "categories",
    "comment",
    "connection_config",
    "docs_url",
    "errors",
    "examples",
    "extends",
    "gotchas",
    "logo",
    "name",
    "status",
    "title",
    "verification",
    "version",
}
"""Keys whose proofs are the tests of the files that each blueprint has."""
