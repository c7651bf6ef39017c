"""Wrong files, each with the exact place, the code and the words of the message, and no secret in any."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.urls.base_url import render_url
from nango_py.errors import ConfigError
from tests.support.bad_files import (
    IN_HOUSE,
    KLAVIYO,
    PLANTED,
    SLACK,
    Case,
    everything_about,
    i,
    k,
    load,
    places,
    refusal,
    with_lines,
)

if TYPE_CHECKING:
    from pathlib import Path


def _bomb() -> str:
    lines = ["a: &a [x, x]"]
    for last, this in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{this}: &{this} [{', '.join(['*' + last] * 4)}]")
    return "\n".join([*lines, "i: *h"])


CASES = {
    "01 unknown blueprint": Case(
        i(line_3="    extends_blueprint: klavio:v0"),
        problems=("i:3:24 E101",),
        words=('unknown blueprint "klavio"; did you mean "klaviyo"? (2 known: nango blueprints list)',),
    ),
    "02 unknown version": Case(
        i(line_3="    extends_blueprint: klaviyo:v7"),
        problems=("i:3:24 E102",),
        words=('blueprint "klaviyo" has no version "v7"; available: v0',),
    ),
    "03 empty version": Case(
        i(line_3='    extends_blueprint: "klaviyo:"'),
        problems=("i:3:24 E103",),
        words=('empty version after ":"; expected name:version, e.g. klaviyo:v0',),
    ),
    "04 a path": Case(
        i(line_3="    extends_blueprint: ../../etc/passwd"),
        problems=("i:3:24 E104",),
        words=("blueprint name may contain only a-z 0-9 _ -", "it is a name, not a path"),
    ),
    "05 upper case": Case(
        i(line_3="    extends_blueprint: Klaviyo:v0"),
        problems=("i:3:24 E101",),
        words=('names are lower case; did you mean "klaviyo:v0"?',),
    ),
    "06 a list for a name": Case(
        i(line_3="    extends_blueprint: [klaviyo]"),
        problems=("i:3:24 E201",),
        words=("expected text, found a list",),
    ),
    "07 misspelt key": Case(
        i(line_3="    extends_bluprint: klaviyo:v0"),
        problems=("i:3:5 E202",),
        words=('unknown key "extends_bluprint"; did you mean "extends_blueprint"?',),
    ),
    "08 defined twice": Case(
        i(line_9="  klaviyo: {extends_blueprint: 'klaviyo:v0'}"),
        problems=("i:9:3 E105",),
        words=('"klaviyo" already defined at ', "integrations.yaml:2:3; rename or remove one"),
    ),
    "09 no integrations": Case(
        "config: {}\n", problems=("i:1:1 E203",), words=('missing top-level key "integrations"',)
    ),
    "10 empty file": Case(
        "", problems=("i:1:1 E203",), words=('file is empty; expected "integrations:" (see docs/quickstart',)
    ),
    "11 a list": Case("- klaviyo\n", problems=("i:1:1 E201",), words=("expected a mapping, found a list",)),
    "12 tab": Case(
        "integrations:\n  klaviyo:\n\textends_blueprint: klaviyo:v0\n",
        problems=("i:3:1 E001",),
        words=("tab used for indentation; YAML needs spaces",),
    ),
    "13 open quote": Case(
        i(line_4='    title: "open'), problems=("i:4:12 E002",), words=("quote opened here is never closed",)
    ),
    "14 two documents": Case(
        i(line_8="---", line_9="integrations: {}"),
        problems=("i:8:1 E003",),
        words=('second document ("---"); only one is allowed',),
    ),
    "15 latin-1": Case(
        b"integrations:\n  cafe\xe9: {}\n",
        problems=("i:2:7 E004",),
        words=("not UTF-8 (byte 0xE9); save the file as UTF-8",),
    ),
    "16 code tag": Case(
        "!!python/object/apply:os.system ['exit 1']\n",
        problems=("i:1:1 E005",),
        words=("tag not allowed; plain YAML only",),
    ),
    "17 alias bomb": Case(
        _bomb(), problems=("i:9:4 E006",), words=("aliases expand to more than 100000 values",)
    ),
    "18 depth": Case("[" * 200_000, problems=("i:1:51 E007",), words=("nested deeper than 50 levels",)),
    "19 size": Case(
        "#" * 5_242_880, problems=("i:0:0 E008",), words=("error[E008]: 5242880 bytes; limit is 1048576",)
    ),
    "20 recursive alias": Case("a: &a [*a]\n", problems=("i:1:4 E009",), words=('"*a" contains itself',)),
    "21 unknown auth mode": Case(
        with_lines(IN_HOUSE, line_6="        auth_mode: OAUTH"),
        problems=("i:6:20 E204",),
        words=("expected API_KEY, ", 'did you mean "OAUTH2"?'),
    ),
    "22 lower-case auth mode": Case(
        with_lines(IN_HOUSE, line_6="        auth_mode: api_key"),
        problems=("i:6:20 E204",),
        words=('did you mean "API_KEY"?',),
    ),
    "23 no scheme": Case(
        klaviyo=k(line_9="  base_url:     a.klaviyo.com/api"),
        problems=("k:9:17 E301",),
        words=("URL has no scheme; did you mean https://a.klaviyo.com/api/?",),
    ),
    "24 plain http": Case(
        klaviyo=k(line_9="  base_url:     http://a.klaviyo.com"),
        problems=("k:9:17 E302",),
        words=("credentials would travel unencrypted", "https://", "allow_http: true"),
    ),
    "25 credentials in a URL": Case(
        klaviyo=k(line_9=f"  base_url:     https://user:{PLANTED}@a.klaviyo.com/"),
        problems=("k:9:17 E303",),
        words=("credentials in a URL; move them to auth",),
    ),
    "26 variable host": Case(
        klaviyo=k(line_9="  base_url: https://${additional_config.sub}"),
        problems=("k:9:13 E304",),
        words=("a variable may not be the whole host; fix the domain, e.g. https://${", "}.example.com"),
    ),
    "28 unknown variable": Case(
        i(
            line_3="    extends_blueprint: slack:v0",
            line_4="    oauth_client_id: a",
            line_5="    oauth_client_secret: b",
        ),
        more={"slack.v0.yaml": SLACK.replace("${access_token}", "${acces_token}")},
        problems=("slack:9:38 E306",),
        words=('unknown variable "acces_token"; did you mean access_token?',),
    ),
    "29 variable not closed": Case(
        klaviyo=k(line_14="  idempotency_header: x", line_12="    Authorization: ${api_key"),
        problems=("k:12:20 E307",),
        words=('"${" is never closed',),
    ),
    "30 code in a template": Case(
        klaviyo=k(line_12="    Authorization: ${ ''.__class__ }"),
        problems=("k:12:20 E308",),
        words=("only names are allowed inside ${ }, e.g. ${api_key}",),
    ),
    "31 variable of another mode": Case(
        klaviyo=k(line_12="    Authorization: ${access_token}"),
        problems=("k:12:22 E309",),
        words=("access_token exists only for MCP_OAUTH2, OAUTH2,", "API_KEY offers: api_key"),
    ),
    "32 unset environment": Case(
        i(line_7="    oauth_client_secret:   ${SLACK_SECRET}"),
        problems=("i:7:30 E310",),
        words=("environment variable SLACK_SECRET is not set",),
    ),
    "33 environment in a blueprint": Case(
        klaviyo=k(line_12="    X:  ${AWS_SECRET_ACCESS_KEY}"),
        problems=("k:12:11 E311",),
        words=("blueprints may not read environment variables; set it in integrations.yaml",),
    ),
    "34 line break in a header": Case(
        klaviyo=k(line_11=f'    Authorization:  "{PLANTED}\\nX: 1"', line_12=""),
        problems=("k:11:21 E312",),
        words=('header "Authorization" holds a line break (\\n at 20)',),
    ),
    "35 space in a header name": Case(
        klaviyo=k(line_11="    X Key: a"),
        problems=("k:11:5 E313",),
        words=("space in header name; did you mean X-Key?",),
    ),
    "36 no timeout": Case(
        i(line_4="    requests:", line_5="      timeout_seconds: { connect: 0}"),
        problems=("i:5:35 E401",),
        words=('must be > 0 and <= 3600; there is no "no timeout"',),
    ),
    "37 timeouts that are no numbers": Case(
        i(
            line_4="    http_request_timeout_seconds: .nan",
            line_5='    requests: {timeout_seconds: {connect: "30", read: 30s}}',
        ),
        problems=("i:4:35 E401", "i:5:43 E401", "i:5:55 E401"),
        words=(
            "expected a number of seconds, found nan; write 30",
            "expected a number of seconds, found text; write 30",
        ),
    ),
    "38 text for a list": Case(
        i(line_4="    oauth_scopes: read write"),
        problems=("i:4:19 E205",),
        words=("expected a list, found text; write [read, write]",),
    ),
    "39 a number for a version": Case(
        klaviyo=k(line_2="version: 1.10"),
        problems=("k:2:10 E206",),
        words=('YAML read 1.10 as the number 1.1; quote it: "1.10"',),
    ),
    "40 a name that reads as false": Case(
        i(line_2="  no:"), problems=("i:2:3 E207",), words=('"no"', 'false; quote it: "no"')
    ),
    "41 a number for text": Case(
        i(line_4="    oauth_client_id: 123456789012"),
        problems=("i:4:22 E206",),
        words=("expected text, found a number; quote it (leading zeros are lost otherwise)",),
    ),
    "42 missing client secret": Case(
        "# the products\nintegrations:\n  slack: {extends_blueprint: 'slack:v0', oauth_client_id: 'a'}\n",
        problems=("i:3:3 E208",),
        words=("OAUTH2 (from blueprint slack:v0) needs oauth_client_secret",),
    ),
    "43 blueprints in a circle": Case(
        i(line_3="    extends_blueprint: a:v0"),
        more={
            "a.v0.yaml": "name: a\nversion: v0\nextends: b:v0\n",
            "b.v0.yaml": "name: b\nversion: v0\nextends: a:v0\n",
        },
        problems=("i:3:24 E106",),
        words=("blueprints extend each other: a:v0 -> b:v0 -> a:v0",),
    ),
    "44 one version in two files": Case(
        more={"klaviyo.yml": "versions: {v0: {}}\n"},
        problems=("klaviyo.yml:0:0 E107",),
        words=("klaviyo:v0 defined twice: ", "klaviyo.v0.yaml and ", "klaviyo.yml"),
    ),
    "44 only a json file": Case(
        i(line_3="    extends_blueprint: klaviyo:v0"),
        more={"other.v0.json": "{}"},
        problems=("other.v0.json:0:0 E108",),
        words=("only .yaml files are read; rename it to other.v0.yaml",),
    ),
    "45 another name inside": Case(
        klaviyo=k(line_1="name: klavyo"),
        problems=("k:1:7 E109",),
        words=('name "klavyo" but file is klaviyo.v0.yaml',),
    ),
    "46 remaining without reset": Case(
        klaviyo=k(line_18="rate_limits:", line_19="    headers:", line_20="      remaining: X-Remaining"),
        problems=("k:20:7 E402",),
        words=("add reset or retry_after; otherwise the wait is unknown",),
    ),
    "47 a POST that could run twice": Case(
        klaviyo=k(
            line_21="  rules:", line_22="    - when: {method: POST, status: 500}", line_23="      do: retry"
        ),
        problems=("k:22:14 E403",),
        words=("POST could run twice; add idempotency or allow_duplicate_posts: true",),
    ),
    "49 a source of a key that does not exist": Case(
        klaviyo=k(
            line_16="sources:",
            line_17="  - {covers: [auth, requests.headers.Acept], url: https://a.test/, read_on: 2026-11-30}",
        ),
        problems=("k:17:21 E325",),
        words=('no key "Acept" below "requests.headers"; did you mean "Accept"?',),
    ),
    "50 sources without a page": Case(
        klaviyo=k(line_16="sources:", line_17="  - {covers: auth, url: the manual, read_on: 30.11.2026}"),
        problems=("k:17:25 E204", "k:17:46 E204"),
        words=("expected a URL that starts with https://", "expected a date such as 2024-10-15"),
    ),
    "51 sources as a mapping": Case(
        klaviyo=k(line_16="sources: {covers: auth}"),
        problems=("k:16:10 E205",),
        words=("expected a list, found a mapping",),
    ),
    "52 a source that covers nothing": Case(
        klaviyo=k(line_16="sources:", line_17="  - {covers: [], url: https://a.test/, read_on: 2026-02-30}"),
        problems=("k:17:14 E203", "k:17:49 E204"),
        words=("the path of a key, such as rate_limits.budgets[0]", "the date does not exist"),
    ),
    "53 an unconfirmed path with a slash": Case(
        klaviyo=k(line_16="unconfirmed: [retries/max_attempts, .auth, retries.max_attempts]"),
        problems=("k:16:15 E325", "k:16:37 E325"),
        words=('no key "retries/max_attempts"', "expected a path such as rate_limits.budgets[0]"),
    ),
    "54 a change without a day": Case(
        klaviyo=k(
            line_16="changes:",
            line_17="  - {what: Keys end., affects: auth.keys, url: https://a.test/, before: 2027-01-01}",
        ),
        problems=("k:17:5 E203", "k:17:32 E325", "k:17:65 E202"),
        words=('missing key "on"', 'no key "keys" below "auth"', 'unknown key "before"'),
    ),
    "55 facts in integrations.yaml": Case(
        i(line_4="    sources: []"),
        problems=("i:4:5 E202",),
        words=('unknown key "sources"',),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_input_is_refused_at_its_place_in_these_words(tmp_path: Path, name: str) -> None:
    """Each input gives its problems at their exact line and column, and the help that mends it."""
    case = CASES[name]
    error = refusal(tmp_path, case)
    assert places(error) == case.problems, str(error)
    for words in case.words:
        assert words in str(error)
    assert PLANTED not in everything_about(error)


def test_a_right_input_loads(tmp_path: Path) -> None:
    """The files that the cases break are right as they are."""
    configuration = load(tmp_path, Case())
    assert [integration.blueprint for integration in configuration] == ["klaviyo:v0"]


def test_a_host_value_that_is_no_label_is_refused_when_it_is_used(tmp_path: Path) -> None:
    """Input 27: a connection's `sub` may not leave the fixed domain; its value is not echoed."""
    blueprint = k(line_9="  base_url: https://${additional_config.sub}.example.com/")
    (integration,) = load(tmp_path, Case(klaviyo=blueprint))
    for value in ("evil.com#", "evil.com/", "evil.com?", "x@evil.com", "a.b", "-a", "", PLANTED):
        with pytest.raises(TemplateProblem) as caught:
            render_url(integration.requests.base_url, {"additional_config": {"sub": value}})
        assert caught.value.code in {"E305", "E314"}
        assert not value or value not in everything_about(caught.value)


def test_a_file_that_others_write_is_warned_of_and_one_that_cannot_be_read_refused(tmp_path: Path) -> None:
    """Input 48: mode 0666 is a warning that comes with the configuration; a folder is an error."""
    load(tmp_path, Case())
    file = tmp_path / "integrations.yaml"
    file.chmod(0o666)
    catalogue = Catalogue([("local", tmp_path / "blueprints")])
    warnings = load_configuration(file, environ={}, catalogue=catalogue).warnings
    assert [str(found).partition(": ")[2] for found in warnings] == [
        "warning[W501]: other users can write this file; chmod 600"
    ]
    with pytest.raises(ConfigError, match=r"error\[E010\]: not a regular file"):
        load_configuration(tmp_path / "blueprints", environ={}, catalogue=catalogue)


SECRET_PLACES = {
    "client secret of another type": "    oauth_client_secret: [{p}]",
    "client secret as a key": "    oauth_client_secret: {{{p}: 1}}",
    "key as a list": "    app_api_key: [{p}]",
    "header of another type": "    requests: {{headers: {{Authorization: [{p}]}}}}",
    "parameter of another type": "    requests: {{params: {{api_key: {{a: {p}}}}}}}",
    "template in a secret": "    requests: {{headers: {{Authorization: '{p} ${{nope}}'}}}}",
    "broken template": "    requests: {{headers: {{Authorization: '{p} ${{'}}}}",
    "control character": '    requests: {{headers: {{Authorization: "{p}\\r\\nX: 1"}}}}',
    "log level": "    log_level: {p}",
    "auth mode": "    auth: {{auth_mode: {p}}}",
    "scopes": "    oauth_scopes: {{{p}: 1}}",
    "timeout": "    http_request_timeout_seconds: {p}",
    "URL": "    requests: {{base_url: 'https://u:{p}@h/'}}",
    "URL query": "    requests: {{base_url: 'http://h/?key={p}'}}",
    "window": "    rate_limits: {{budgets: [{{key: a, otherwise: ['{p}']}}]}}",
    "open quote": "    oauth_client_secret: '{p}",
    "environment": "    log_level: ${{PLANTED}}",
    "environment in a header": '    requests: {{headers: {{"X": "${{PLANTED}} ${{nope}}"}}}}',
}


@pytest.mark.parametrize("name", SECRET_PLACES)
def test_no_message_holds_a_secret(tmp_path: Path, name: str) -> None:
    """A secret in a wrong place, or of a wrong type, is in no message, traceback or repr."""
    line = SECRET_PLACES[name].format(p=PLANTED)
    error = refusal(tmp_path, Case(i(line_4=line)))
    assert PLANTED not in everything_about(error)
    assert PLANTED not in str(error.problems)


def test_the_test_of_secrets_sees_a_planted_leak(tmp_path: Path) -> None:
    """A key's name is shown, so the same search finds the planted text there."""
    error = refusal(tmp_path, Case(i(line_4=f"    {PLANTED}: 1")))
    assert PLANTED in everything_about(error)


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    """Repeated keys, unknown keys, wrong types and wrong ranges of one file come together, sorted."""
    error = refusal(
        tmp_path,
        Case(
            "integrations:\n"
            "  klaviyo:\n"
            "    extends_blueprint: klaviyo:v0\n"
            "    http_request_timeout_seconds: -1\n"
            "    oauth_scopes: a b\n"
            "    extra: 1\n"
            "  klaviyo: {}\n"
            "  other: {extends_blueprint: nowhere:v0}\n"
            "config: {default_action_log_level: loud}\n"
        ),
    )
    assert places(error) == (
        "i:4:35 E401",
        "i:5:19 E205",
        "i:6:5 E202",
        "i:7:3 E105",
        "i:8:30 E101",
        "i:9:36 E204",
    )


@pytest.mark.parametrize(
    "ref", ["../../etc/x:v0", "/abs:v0", "a\\0:v0", "a/b:v0", "..:v0", "a.b:v0", "%2e:v0"]
)
def test_a_blueprint_name_opens_no_file(tmp_path: Path, ref: str) -> None:
    """Names that could be paths are refused before anything is opened for them."""
    opened: list[Any] = []
    _watch_opens(opened)
    error = refusal(tmp_path, Case(i(line_3=f'    extends_blueprint: "{ref}"')))
    opened_for_it = [path for path in opened if "passwd" in path or "etc" in path or "abs" in path]
    assert places(error) == ("i:3:24 E104",)
    assert opened_for_it == []


_WATCHED: list[list[Any]] = []


def _watch_opens(opened: list[Any]) -> None:
    if not _WATCHED:
        sys.addaudithook(lambda event, args: _WATCHED[-1].append(str(args[0])) if event == "open" else None)
    _WATCHED.append(opened)


@pytest.mark.parametrize("folder", ["a\nb\0c", "a" * 300, "a/" * 3000, "link"])
def test_a_folder_that_the_system_refuses_is_a_problem_of_the_file(tmp_path: Path, folder: str) -> None:
    """A name with NUL, one that is too long, and a link to itself; control characters are escaped."""
    (tmp_path / "link").symlink_to("link")
    file = tmp_path / "integrations.yaml"
    written = {"config": {"blueprint_paths": [folder]}, "integrations": {"a": {"extends_blueprint": "b:v0"}}}
    file.write_text(json.dumps(written))
    with pytest.raises(ConfigError, match="E010") as caught:
        _ = Nango(file, environ={}).configuration
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_versions_are_numbers(tmp_path: Path) -> None:
    """Between v9 and v10 the newest is v10, and the warning says which to pin."""
    more = {f"many.v{n}.yaml": KLAVIYO.replace("klaviyo", "many").replace("v0", f"v{n}") for n in (9, 10)}
    configuration = load(tmp_path, Case(i(line_3="    extends_blueprint: many"), more=more))
    assert [integration.blueprint for integration in configuration] == ["many:v10"]
    assert [found.code for found in configuration.warnings] == ["W101"]
    assert "pin it: many:v10" in str(configuration.warnings[0])


def test_a_misspelt_secret_field_names_the_right_one(tmp_path: Path) -> None:
    """`oauth_client_secet` leads to `oauth_client_secret`, without the value."""
    error = refusal(tmp_path, Case(i(line_4=f"    oauth_client_secet: {PLANTED}")))
    assert 'did you mean "oauth_client_secret"?' in str(error)
    assert PLANTED not in str(error)


def test_a_bidi_mark_in_a_name_is_refused_and_shown_escaped(tmp_path: Path) -> None:
    """U+202E in a key is an error whose message holds its number and not the mark."""
    error = refusal(tmp_path, Case(i(line_2="  klav\u202eiyo:")))
    assert {problem.code for problem in error.problems} == {"E012", "E104"}
    assert "\u202e" not in str(error)
    assert "\\u202e" in str(error)


def test_big_and_hostile_files_are_refused_quickly(tmp_path: Path) -> None:
    """Deep, large and self-multiplying files take a moment, not minutes."""
    for number, name in enumerate(("17 alias bomb", "18 depth", "19 size")):
        folder = tmp_path / str(number)
        folder.mkdir()
        started = time.process_time()
        refusal(folder, CASES[name])
        assert time.process_time() - started < 2
