"""One request, rendered: encoded as requests does, protected from accidents, printable."""

from __future__ import annotations

import copy
import io
import json
import pickle
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from nango_py.errors import ConfigError, InvalidRequest
from tests.support.made_values import KEY, a_connection, a_plan, an_integration, bound_settings

BASE = "https://api.example.test/v1/"
PLAIN = bound_settings(an_integration(headers={}, params={}))
IN_QUERY = bound_settings(an_integration(params={"api_key": "${api_key}", "format": "json"}))


def prepared(**options: Any) -> requests.PreparedRequest:
    """What requests would send."""
    method = options.pop("method", "GET")
    path = options.pop("path", "things")
    return requests.Request(method, BASE + path, **options).prepare()


class Odd:
    """Something that is neither text nor a list."""

    def __str__(self) -> str:
        return "odd & even"


PARAMS: list[Any] = [
    None, {}, [], (), {"a": "1"}, {"a": 1}, {"a": 1.5}, {"a": True}, {"a": False}, {"a": None},
    {"a": None, "b": 2}, {"a": ""}, {"": "a"}, {"a b": "c d"}, {"a": "b&c=d"}, {"a": "50%"}, {"a": "%41"},
    {"a": "+"}, {"a": "~"}, {"a": "-._~"}, {"a": "!*'()"}, {"a": "/?:@"}, {"a[b]": "c"}, {"a": "é"},
    {"a": "\U0001f600"}, {"a": ["1", "2"]}, {"a": (1, 2)}, {"a": []}, {"a": [None]}, {"a": [1, None, 2]},
    {"a": {"x": 1, "y": 2}}, {"a": {3}}, {"a": range(3)}, {"a": b"bytes"}, {b"a": "1"}, {1: 2},
    {"a": Odd()}, {"a": "\n"}, {"a": "\t x "}, [("a", "1"), ("a", "2")], [["a", "1"], ["b", "2"]],
    (("a", "1"),), [("a", ["1", "2"])], {"filter": 'equals(id,"x")'}, {"fields[a]": "b,c"}, {"a": "x" * 3000},
    {"page[cursor]": "bmV4dDo6aWQ6OjEyMw=="}, {"a": 10**30}, {"a": 1e-9}, {"a": -0.0}, {"a": "\x00"},
    {"a": "a=b;c=d"}, {"d": "1", "c": "2", "b": "3", "a": "4"}, {"a": "'\"<>"}, {"a": "`^|\\"},
]  # fmt: skip


@pytest.mark.parametrize("params", PARAMS, ids=lambda value: repr(value)[:40])
def test_parameters_are_encoded_as_requests_does(params: Any) -> None:
    """A caller who moves from requests sends the same bytes."""
    assert a_plan(params=params, settings=PLAIN).url == prepared(params=params).url


TEXT_QUERIES = [
    "a=1",
    "a=1&b=2",
    "q=a b",
    "flag",
    "a=%2F",
    "a=b=c",
    "a=é",
    "",
    "a=[1]&b=x+y",
    "sig=%FF%fe",
]


@pytest.mark.parametrize("query", TEXT_QUERIES)
def test_a_query_given_as_text_stays_as_it_is_written(query: str) -> None:
    """In the path or as params=, it is not decoded and encoded again."""
    wanted = prepared(params=query).url
    assert a_plan(params=query, settings=PLAIN).url == wanted
    if query:
        assert a_plan(path=f"things?{query}", settings=PLAIN).url == wanted


def test_a_query_in_the_path_comes_before_params() -> None:
    """As requests joins the two."""
    wanted = prepared(path="things?b=2&flag", params={"a": 1}).url
    plan = a_plan(path="things?b=2&flag", params={"a": 1}, settings=PLAIN)
    assert plan.url == wanted
    assert plan.pairs == (("b", "2"), ("flag", ""), ("a", "1"))


BODIES: list[dict[str, Any]] = [
    {}, {"json": {}}, {"json": {"a": [1, None, True, 1.5, "é"]}}, {"json": []}, {"json": 0}, {"json": False},
    {"json": ""}, {"json": None}, {"data": None}, {"data": {}}, {"data": []}, {"data": ""}, {"data": b""},
    {"data": "a=b"}, {"data": "é"}, {"data": b"\x00\xff"}, {"data": {"a": "b c", "d": ["1", "2"]}},
    {"data": [("a", "1"), ("a", "2")]}, {"data": [["a", "1"]]}, {"data": {"a": None, "b": 1}},
    {"data": (("é", "ü"),)}, {"data": {}, "json": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize("options", BODIES, ids=lambda value: repr(value)[:40])
def test_bodies_are_encoded_as_requests_does(options: dict[str, Any]) -> None:
    """Bytes and content type are the same; an empty text or form sends no body."""
    wanted = prepared(method="POST", **options)
    plan = a_plan("POST", settings=PLAIN, **options)
    body = wanted.body.encode() if isinstance(wanted.body, str) else wanted.body
    assert (plan.body or None) == (body or None)
    assert plan.headers.get("content-type", ("", None))[1] == wanted.headers.get("Content-Type")
    assert plan.replayable


def test_uploads_are_encoded_as_requests_does() -> None:
    """Multipart fields and files have the boundary in the content type, even if the caller sets one."""
    plan = a_plan(
        "POST",
        settings=PLAIN,
        data={"note": "é"},
        files={"file": ("a.csv", io.BytesIO(b"1,2"), "text/csv")},
        headers={"Content-Type": "multipart/form-data"},
    )
    boundary = plan.headers["content-type"][1].partition("boundary=")[2]
    assert plan.body.count(boundary.encode()) == 3
    assert b'name="note"\r\n\r\n\xc3\xa9\r\n' in plan.body
    assert b'filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n1,2\r\n' in plan.body
    assert plan.replayable


def test_iterators_are_streamed_once() -> None:
    """They are not read for the plan, and cannot be sent twice."""
    stream = iter([b"large"])
    plan = a_plan("PUT", data=stream, settings=PLAIN)
    assert plan.body is stream
    assert not plan.replayable
    assert next(stream) == b"large"


def test_a_file_stays_where_it_stands() -> None:
    """It is not read for the plan, and can be sent twice."""
    file = io.BytesIO(b"large")
    file.seek(2)
    plan = a_plan("PUT", data=file, settings=PLAIN)
    assert file.tell() == 2
    assert plan.replayable
    assert [b"".join(plan.body), b"".join(plan.body)] == [b"rge", b"rge"]
    assert "<FileBody, streamed>" in str(plan)


BAD_CALLS: list[dict[str, Any]] = [
    {"json": {"a": float("nan")}}, {"json": {"a": {1}}}, {"json": {}, "data": "x"}, {"data": 5},
    {"params": 5}, {"params": [("a",)]}, {"params": ["ab", "cde"]}, {"params": {"a": "\ud800"}},
    {"params": "a=\ud800"}, {"data": "\ud800"}, {"data": {"a": b"\xff"}}, {"files": 5},
    {"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"timeout": float("inf")},
    {"timeout": (1, 0)}, {"timeout": "30"}, {"timeout": 3601}, {"headers": {"X Y": "1"}},
    {"headers": {"X:": "1"}},
    {"headers": {"": "1"}}, {"headers": {"X": "a\r\nY: b"}}, {"headers": {"X": "a\nb"}},
    {"headers": {"X": "\x00"}}, {"headers": {"X": " a"}}, {"headers": {"X": "€"}},
    {"headers": {"X\r\nY": "1"}},
    {"headers": {b"X\n": b"1"}}, {"idempotency_key": "k"},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD_CALLS, ids=lambda value: ascii(value)[:40])
def test_what_cannot_be_sent_is_refused_before_sending(options: dict[str, Any]) -> None:
    """InvalidRequest is a ValueError too; it has no cause that could show the request."""
    with pytest.raises(InvalidRequest) as caught:
        a_plan("POST", **options)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__context__ is None
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("method", ["", "GET /evil HTTP/1.1", "GET\r\nX: y", "GE T", "GÉT", "G\x00T", "GET "])
def test_a_method_is_one_word(method: str) -> None:
    """A method cannot inject anything before the path."""
    with pytest.raises(InvalidRequest):
        a_plan(method)


def test_any_method_may_be_used_in_any_case() -> None:
    """Known and unknown methods are sent in upper case."""
    assert a_plan("get").method == "GET"
    assert a_plan("purge").method == "PURGE"


SPELLINGS = ["Authorization", "authorization", "AUTHORIZATION", "aUtHoRiZaTiOn", b"Authorization"]


@pytest.mark.parametrize("name", SPELLINGS, ids=str)
@pytest.mark.parametrize("value", ["Bearer mine", None, ""])
def test_the_header_with_the_credential_cannot_be_replaced(name: Any, value: Any) -> None:
    """Neither another value nor None replaces it, in any case; and it is there once."""
    plan = a_plan(headers={name: value})
    assert plan.headers["authorization"] == ("Authorization", f"Key {KEY}")
    assert [key for key in plan.headers if key.lower() == "authorization"] == ["authorization"]


@pytest.mark.parametrize("name", ["api_key", "API_KEY", "Api_Key", "api%5Fkey", "%61pi_key"])
def test_the_parameter_with_the_credential_cannot_be_replaced(name: str) -> None:
    """Neither params nor the path, encoded or not, replace it, in any case."""
    encoded_in_path = a_plan(path=f"things?{name}=mine&x=1", settings=IN_QUERY)
    assert parse_qsl(urlsplit(encoded_in_path.url).query) == [
        ("api_key", KEY),
        ("format", "json"),
        ("x", "1"),
    ]
    as_text = a_plan(params=f"{name}=mine&x=1", settings=IN_QUERY)
    assert as_text.url == encoded_in_path.url
    if "%" not in name:
        assert a_plan(params={name: "mine", "x": 1}, settings=IN_QUERY).url == encoded_in_path.url


def test_other_parameters_of_the_blueprint_can_be_replaced() -> None:
    """The caller's value replaces the default."""
    query = urlsplit(a_plan(params={"format": "xml"}, settings=IN_QUERY).url).query
    assert parse_qsl(query) == [("api_key", KEY), ("format", "xml")]
    query = urlsplit(a_plan(path="things?format=xml", settings=IN_QUERY).url).query
    assert parse_qsl(query) == [("api_key", KEY), ("format", "xml")]


WITH_DEFAULTS = bound_settings(
    an_integration(
        headers={"Authorization": "Key ${api_key}", "Accept": "application/vnd.api+json", "Revision": "1"}
    )
)


def test_other_headers_can_be_replaced_in_any_case() -> None:
    """The caller's value is sent once, with the caller's name."""
    plan = a_plan(headers={"ACCEPT": "text/plain", "revision": b"2"}, settings=WITH_DEFAULTS)
    assert plan.headers["accept"] == ("ACCEPT", "text/plain")
    assert plan.headers["revision"] == ("revision", "2")


def test_none_removes_a_header() -> None:
    """As in requests."""
    plan = a_plan(headers={"Accept": None, "user-agent": None, "X-Never-There": None}, settings=WITH_DEFAULTS)
    assert "accept" not in plan.headers
    assert "user-agent" not in plan.headers


def test_the_callers_arguments_are_not_changed() -> None:
    """Neither headers, params nor the body's mapping are changed."""
    options: dict[str, Any] = {
        "headers": {"Accept": "x", "authorization": "mine", "X": None},
        "params": {"a": [1, 2], "api_key": "mine"},
        "json": {"deep": [{"a": 1}]},
    }
    before = copy.deepcopy(options)
    a_plan("POST", settings=IN_QUERY, **options)
    assert options == before


def test_plans_of_one_connection_do_not_share_headers() -> None:
    """Changing one plan's headers changes no other call."""
    bound = bound_settings()
    first = a_plan(settings=bound)
    first.headers["x-extra"] = ("X-Extra", "1")
    assert "x-extra" not in a_plan(settings=bound).headers


ESCAPES = [
    "https://evil.test/x", "http://api.example.test/v1/x", "//evil.test/x", "///evil.test/x",
    "\\\\evil.test\\x", "/\\evil.test", "https:evil.test", "https:/evil.test/x", "../admin", "a/../../admin",
    "%2e%2e/admin",
    "%2E%2E/admin", "a/%2e%2e/%2e%2e/x", "%252e%252e/admin", "%25252e%25252e/x", ".%2e/x", "..%2fadmin",
    "..%5cadmin", "..\\admin", "a/..;/x", " //evil.test", "\t//evil.test", "x\r\nHost: evil.test", "x\x00y",
    "x#fragment", "https://api.example.test@evil.test/v1/x", "https://api.example.test:8443/v1/x",
    "https://user:pw@api.example.test/v1/x", "https://api.example.test/other/x", "https://api.example.test/v1/../x",
    "https://api.example.test.evil.test/v1/x", "javascript:alert(1)//", "file:///etc/passwd", "HTTPS://EVIL.TEST/",
    "./../x", "a/./../../x", "a/%00/x", "a%0d%0ab",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES, ids=ascii)
def test_a_path_that_leaves_the_base_is_refused_or_stays_below_it(path: str) -> None:
    """No path reaches another origin or a place above the base URL."""
    try:
        plan = a_plan(path=path)
    except InvalidRequest:
        return
    assert plan.url.startswith(BASE)
    decoded = requests.utils.unquote(requests.utils.unquote(plan.url[len(BASE) :]))
    assert ".." not in decoded.replace("\\", "/").split("/")


@pytest.mark.parametrize(
    "path", [path for path in ESCAPES if ".." in path or "%2e%2e" in path.lower() or "://" in path], ids=ascii
)
def test_dots_and_other_origins_are_refused(path: str) -> None:
    """These are errors, and are not changed silently."""
    with pytest.raises(InvalidRequest, match="E316"):
        a_plan(path=path)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("things", "things"), ("/things", "things"), ("things/", "things/"), ("", ""), ("a b", "a%20b"),
        ("é", "%C3%A9"), ("a%2Fb", "a%2Fb"), ("50%", "50%25"), ("a:b", "a:b"), ("v1.2/x", "v1.2/x"),
        ("..a/b..", "..a/b.."), ("...", "..."), (BASE + "things", "things"),
        ("x?next=https://other.test/", None),
    ],
)  # fmt: skip
def test_ordinary_paths_are_below_the_base(path: str, url: str | None) -> None:
    """A leading slash does not matter, odd characters are encoded, encoded ones are kept."""
    plan = a_plan(path=path)
    assert plan.url == (BASE + url if url is not None else BASE + "x?next=https://other.test/")


def test_a_body_is_masked_before_it_is_cut() -> None:
    """A long body is shown in part, and no part of a credential in it."""
    plan = a_plan("POST", data=b"a" * 1990 + KEY.encode() + b"b" * 5000, headers={"Content-Type": "x/y"})
    assert str(plan).endswith("a***bbbbbbb")


def test_a_plan_prints_with_its_credentials_masked() -> None:
    """`nango plan` shows the request with stars in place of the credential."""
    bound = bound_settings(
        an_integration(headers={"Authorization": "Key ${api_key}"}, params={"key": "${api_key}", "v": "1"})
    )
    plan = a_plan("POST", json={"echo": KEY, "n": 1}, settings=bound)
    assert str(plan).splitlines() == [
        "POST https://api.example.test/v1/things?key=***&v=1",
        f"User-Agent: {plan.headers['user-agent'][1]}",
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        "Authorization: Key ***",
        "Content-Type: application/json",
        "",
        '{"echo": "***", "n": 1}',
    ]
    assert repr(plan) == "<Plan POST https://api.example.test/v1/things?key=***&v=1>"


@pytest.mark.parametrize("key", ["a", "k1", "with space", "a+b/c=%&"])
def test_a_short_or_odd_credential_is_masked_by_its_place(key: str) -> None:
    """Masking does not depend on recognising the value."""
    bound = bound_settings(
        an_integration("https://${api_key}.example.test/v1/", headers={"X-Key": "${api_key}"})
        if key.isalnum()
        else an_integration(headers={"X-Key": "${api_key}"}, params={"auth[key]": "${api_key}"}),
        a_connection({"api_key": key}),
    )
    plan = a_plan(settings=bound)
    assert plan.masked_headers()["X-Key"] == "***"
    if key.isalnum():
        assert plan.masked_url() == "https://***.example.test/v1/things"
    else:
        assert plan.masked_url() == "https://api.example.test/v1/things?auth%5Bkey%5D=***"


def test_a_plan_leaks_nothing_by_accident() -> None:
    """repr, format, containers and pickling errors have no credential."""
    plan = a_plan(settings=IN_QUERY)
    for text in (repr(plan), f"{plan}", f"{[plan]}", f"{plan.settings!r}"):
        assert KEY not in text
    for thing in (plan, plan.settings):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(thing)
        assert KEY not in str(caught.value)


def test_a_stream_prints_its_type() -> None:
    """The body is named, not read."""
    assert str(a_plan("PUT", data=iter([b"x"]))).endswith("<list_iterator, streamed>")


def test_timeouts_come_from_the_call_or_the_blueprint() -> None:
    """A number is both timeouts, a pair is connect and read; a long read extends the attempt."""
    plan = a_plan()
    assert (plan.connect_seconds, plan.read_seconds, plan.total_seconds) == (5.0, 30.0, 30.0)
    plan = a_plan(timeout=2)
    assert (plan.connect_seconds, plan.read_seconds, plan.total_seconds) == (2.0, 2.0, 30.0)
    plan = a_plan(timeout=(1, 90))
    assert (plan.connect_seconds, plan.read_seconds, plan.total_seconds) == (1.0, 90.0, 90.0)


def test_an_idempotency_key_is_sent_under_the_declared_header() -> None:
    """The caller's key, the caller's header, or a new key."""
    given = a_plan("POST", idempotency_key="order-7", idempotency_header="Idempotency-Key")
    assert given.headers["idempotency-key"] == ("Idempotency-Key", "order-7")
    assert given.safe_to_repeat
    own = a_plan("POST", headers={"idempotency-key": "mine"}, idempotency_header="Idempotency-Key")
    assert own.headers["idempotency-key"] == ("idempotency-key", "mine")
    assert not a_plan("POST").safe_to_repeat
    assert "idempotency-key" not in a_plan("GET", idempotency_header="Idempotency-Key").headers


def test_headers_may_depend_on_the_call() -> None:
    """`${method}` and `${endpoint}` are rendered for each request."""
    bound = bound_settings(an_integration(headers={"X-Call": "${method} ${endpoint}", "X-Key": "${api_key}"}))
    assert a_plan("POST", "lists/7", settings=bound).headers["x-call"] == ("X-Call", "POST lists/7")
    assert a_plan("GET", "a?b=c", settings=bound).headers["x-call"] == ("X-Call", "GET a")


BAD_KEYS = ["line\nbreak", "cr\rx", "nul\x00x", "space-after ", "euro €", "emoji \U0001f600"]


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_an_invalid_header_value_is_named_and_not_shown(key: str) -> None:
    """The error names connection, header and problem; neither text nor traceback frames hold the value."""
    from nango_py.engine.bound_settings import bind_settings

    with pytest.raises(ConfigError) as caught:
        bind_settings(an_integration(), a_connection({"api_key": key}))
    text = str(caught.value)
    assert text.startswith("shop/user-1: error[E312]: requests.headers.Authorization: ")
    assert key not in text
    assert caught.value.__context__ is None
    trace = caught.value.__traceback__
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] == "bind_settings"


def test_values_are_encoded_in_the_query() -> None:
    """A credential cannot add parameters."""
    key = "a&admin=1#x /?+%"
    plan = a_plan(settings=bound_settings(IN_QUERY.integration, a_connection({"api_key": key})))
    assert parse_qsl(urlsplit(plan.url).query) == [("api_key", key), ("format", "json")]


def test_basic_auth_and_app_values_are_rendered() -> None:
    """Every auth mode's variables render; app secrets are protected like user secrets."""
    bound = bound_settings(
        an_integration(
            auth_mode="USERNAME_PASSWORD",
            headers={"Authorization": "Basic ${basic_auth_encoded}", "X-App": "${app_api_key}"},
            app={"app_api_key": "app_secret_1"},
        ),
        a_connection({"username": "ada", "password": "løvelace"}),
    )
    plan = a_plan(settings=bound, headers={"x-app": "mine"})
    assert plan.headers["authorization"][1] == "Basic YWRhOmzDuHZlbGFjZQ=="
    assert plan.headers["x-app"][1] == "app_secret_1"
    assert plan.masked_headers()["Authorization"] == "Basic ***"
    assert plan.masked_headers()["X-App"] == "***"


def test_json_null_is_written_as_bytes() -> None:
    """json=None means no body, as in requests; the JSON null is sent as data."""
    assert a_plan("POST", json=None).body is None
    assert json.loads(a_plan("POST", data=b"null").body) is None
