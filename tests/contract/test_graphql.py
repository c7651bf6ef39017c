"""GraphQL over both executors: what may be repeated, errors in a response with status 200, and paging."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from nango_py.engine.graphql import find_operations
from nango_py.errors import ConfigError, InvalidRequest, ProviderError, RequestFailed
from tests.support.made_values import KEY, FakeResponse
from tests.support.scripted_executors import ScriptedApi, executors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_executors import Request

both = pytest.mark.parametrize("kind", ["sync", "async"])
QUERY = "query Things($first: Int, $after: String) { things(first: $first, after: $after) { id } }"
MUTATION = "mutation Add($name: String) { add(name: $name) { id } }"


def call(
    kind: str, serve: Callable[[Request], Any] | list[Any], query: str = QUERY, *args: Any, **options: Any
) -> tuple[Any, ScriptedApi]:
    """The data of one call, and the API that was called."""
    settings = options.pop("settings", {})
    replies = serve if isinstance(serve, list) else []
    api = ScriptedApi(
        (lambda request: replies[min(request.number, len(replies)) - 1]) if isinstance(serve, list) else serve
    )
    by_thread, by_task = executors(api, **settings)
    if kind == "sync":
        return by_thread.graphql(query, *args, **options), api
    return asyncio.run(by_task.graphql(query, *args, **options)), api


@both
def test_the_data_of_a_query_is_returned(kind: str) -> None:
    """The document and its variables are posted as JSON to `graphql`."""
    data, api = call(kind, [{"data": {"things": []}}], QUERY, {"first": 5})
    assert data == {"things": []}
    (request,) = api.requests
    assert (request.plan.method, request.plan.endpoint) == ("POST", "graphql")
    assert request.body == {"query": QUERY, "variables": {"first": 5}}


@both
def test_the_blueprint_may_name_another_path(kind: str) -> None:
    """`requests.graphql_path`, as Shopify's graphql.json; an operation may be named."""
    api = ScriptedApi(lambda _: {"data": {}})
    by_thread, by_task = executors(api, graphql_path="graphql.json")
    text = f"{QUERY} {MUTATION}"
    if kind == "sync":
        by_thread.graphql(text, operation_name="Add", headers={"X-A": "b"}, deadline_seconds=5)
    else:
        asyncio.run(by_task.graphql(text, operation_name="Add", headers={"X-A": "b"}, deadline_seconds=5))
    assert api.requests[0].plan.endpoint == "graphql.json"
    assert api.requests[0].body["operationName"] == "Add"
    assert api.requests[0].plan.headers["x-a"] == ("X-A", "b")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("https://a.test/graphql", "E204"),
        ("/graphql", "E204"),
        ("../graphql", "E204"),
        ("graphql?a=1", "E204"),
        ("{version}/graphql", "E204"),
        (5, "E206"),
        (["graphql"], "E201"),
    ],
)
def test_a_wrong_path_is_an_error_at_its_place(path: Any, code: str) -> None:
    """It is a path below the base URL, without a query; "" is the base URL itself."""
    requests = {"base_url": "https://api.acme.test/", "headers": {"Authorization": "${api_key}"}}
    entry: dict[str, Any] = {"auth": {"auth_mode": "API_KEY"}, "requests": {**requests, "graphql_path": path}}
    with pytest.raises(ConfigError) as caught:
        load_configuration({"acme": entry}, catalogue=Catalogue([]))
    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.position.file.endswith('["requests"]["graphql_path"]')
    for right in ("", "graphql.json", "api/v2/graphql"):
        entry["requests"]["graphql_path"] = right
        found = load_configuration({"acme": entry}, catalogue=Catalogue([]))
        assert found.integrations["acme"].requests.graphql_path == right


@both
@pytest.mark.parametrize("query", [QUERY, "{ things { id } }", "query { a } fragment F on T { b }"])
def test_a_query_may_be_repeated(kind: str, query: str) -> None:
    """A 503 may come after the API has done its work; reading again does no harm."""
    data, api = call(kind, [FakeResponse(503), FakeResponse(502), {"data": {"a": 1}}], query)
    assert (data, len(api.requests)) == ({"a": 1}, 3)


@both
@pytest.mark.parametrize("settings", [{}, {"endpoints": [{"match": {"path": "graphql"}, "safe": True}]}])
def test_a_mutation_is_not_repeated(kind: str, settings: dict[str, Any]) -> None:
    """Not even if the endpoint is called safe, which is said of its queries."""
    with pytest.raises(ProviderError) as caught:
        call(kind, [FakeResponse(503), {"data": {"a": 1}}], MUTATION, {"name": "x"}, settings=settings)
    assert (caught.value.status, len(caught.value.attempts)) == (503, 1)


@both
def test_a_mutation_with_an_idempotency_key_may_be_repeated(kind: str) -> None:
    """The API recognizes the second request by the key, which is the same."""
    settings = {"retries": {"idempotency_header": "Idempotency-Key"}}
    _, api = call(kind, [FakeResponse(503), {"data": {"a": 1}}], MUTATION, settings=settings)
    keys = {request.plan.headers["idempotency-key"] for request in api.requests}
    assert (len(api.requests), len(keys)) == (2, 1)


@both
@pytest.mark.parametrize("query", [QUERY, MUTATION])
def test_errors_in_a_200_go_through_the_retry_rules(kind: str, query: str) -> None:
    """A throttled request is waited for: the rule says that the API has done nothing, so mutations too."""
    rule = {
        "when": {"json": {"path": "errors[0].extensions.code", "equals": "THROTTLED"}}, "do": "wait",
    }  # fmt: skip
    throttled = {"errors": [{"message": "slow down", "extensions": {"code": "THROTTLED"}}]}
    settings = {"retries": {"rules": [rule]}}
    data, api = call(kind, [throttled, throttled, {"data": {"a": 1}}], query, settings=settings)
    assert (data, len(api.requests)) == ({"a": 1}, 3)
    with pytest.raises(ProviderError) as caught:
        call(kind, [throttled, {"data": {}}], query)
    assert (caught.value.code, len(caught.value.attempts)) == ("THROTTLED", 1)


ERRORS: list[tuple[Any, str, str]] = [
    ([{"message": "no", "extensions": {"code": "FORBIDDEN"}, "path": ["viewer", "repos", 0, "name"]}],
     "FORBIDDEN", "viewer.repos[0].name"),
    ([{"message": "no", "type": "NOT_FOUND", "locations": [{"line": 3, "column": 5}]}],
     "NOT_FOUND", "line 3, column 5"),
    ([{"message": "no"}, {"message": "neither"}], "", ""),
    ([{"extensions": "x", "path": [], "locations": [7]}], "", ""),
    (["no"], "", ""),
    ({"message": "no"}, "", ""),
    ("no", "", ""),
]  # fmt: skip


@both
@pytest.mark.parametrize(("errors", "code", "place"), ERRORS, ids=lambda value: json.dumps(value)[:30])
@pytest.mark.parametrize("data", [None, {"viewer": {"id": 1}}])
def test_errors_are_raised_with_code_and_place(
    kind: str, errors: Any, code: str, place: str, data: Any
) -> None:
    """Also beside data, which the response of the error has."""
    with pytest.raises(ProviderError) as caught:
        call(kind, [{"data": data, "errors": errors}])
    error = caught.value
    assert (error.status, error.code, error.place) == (200, code, place)
    assert error.response.json()["data"] == data
    assert code in str(error)
    assert place in str(error)


@both
@pytest.mark.parametrize(
    "reply",
    [{"data": None}, {}, [], "text", FakeResponse(200, body=b"<html>"), FakeResponse(200, body=b""),
     {"data": [1]}, FakeResponse(404, body={"message": "no"}), FakeResponse(204, body=b"")],
)  # fmt: skip
def test_what_is_not_a_graphql_response_is_an_error(kind: str, reply: Any) -> None:
    """No data ends in silence as if it were empty."""
    with pytest.raises(ProviderError):
        call(kind, [reply])


@both
def test_the_blueprints_errors_go_before(kind: str) -> None:
    """`errors.code` of the blueprint says where the code is; the key is masked in what the API repeats."""
    settings = {"errors": {"code": "errors[0].extensions.name", "message": "errors[0].message"}}
    reply = {"errors": [{"message": f"bad {KEY}", "path": [KEY], "extensions": {"name": "N", "code": "C"}}]}
    with pytest.raises(ProviderError) as caught:
        call(kind, [reply], settings=settings)
    assert (caught.value.code, caught.value.place) == ("N", "***")
    assert KEY not in str(caught.value)
    assert KEY not in caught.value.provider_message


@both
@pytest.mark.parametrize(
    ("query", "options"),
    [
        (5, {}),
        ("", {}),
        ("fragment F on T { a }", {}),
        (f"{QUERY} {MUTATION}", {}),
        (QUERY, {"operation_name": "Other"}),
        (QUERY, {"operation_name": 5}),
        (QUERY, {"variables": [1]}),
        (QUERY, {"deadline_seconds": "x"}),
        (QUERY, {"variables": {"a": object()}}),
    ],
)
def test_a_wrong_document_is_an_error_before_anything_is_sent(
    kind: str, query: Any, options: dict[str, Any]
) -> None:
    """It is the caller's mistake, and named as such."""
    with pytest.raises(InvalidRequest):
        call(kind, lambda _: pytest.fail("sent"), query, **options)


@both
def test_an_unknown_option_of_a_graphql_call_names_the_nearest(kind: str) -> None:
    """As for other calls."""
    with pytest.raises(TypeError, match="header"):
        call(kind, [{"data": {}}], QUERY, headrs={})


@pytest.mark.parametrize(
    ("document", "operations"),
    [
        ("{ a }", [("query", "")]),
        ("query A { a } mutation B { b }", [("query", "A"), ("mutation", "B")]),
        ("# mutation M { a }\nquery A { a }", [("query", "A")]),
        ('query A { a(text: "} mutation B { b }") }', [("query", "A")]),
        ('query A { a(text: """ } mutation "B" { \\""" """) }', [("query", "A")]),
        ("query ($in: In = {a: {b: 1}}) { a } subscription S { b }", [("query", ""), ("subscription", "S")]),
        ("fragment mutation on T { a } query Q { ...mutation }", [("query", "Q")]),
        ("query mutation { a }", [("query", "mutation")]),
        ("query Q @d(a: {b: 1}) { query mutation { mutation } }", [("query", "Q")]),
        ("\ufeffmutation{a}", [("mutation", "")]),
        ("query Q{a}mutation M{b}", [("query", "Q"), ("mutation", "M")]),
        ('"""text""" type T { a: Int } mutation M { b }', [("mutation", "M")]),
        ("", []),
        ("}} ) {", []),
    ],
)
def test_the_operations_of_a_document_are_found(document: str, operations: list[tuple[str, str]]) -> None:
    """Strings, comments, default values, fragments and names that look like keywords mislead nothing."""
    assert find_operations(document) == operations


def test_a_long_document_is_read_in_linear_time() -> None:
    """Unclosed strings and braces cost no more than others."""
    for text in ('"' * 100_001, '"""' + "x" * 100_000, "{" * 100_000, "query " * 30_000):
        find_operations(text)


# -- paging ----------------------------------------------------------------------------------------------


def relay(
    kind: str = "nodes", total: int = 10, wrap: Callable[[Any], Any] = lambda page: {"things": page}
) -> Any:
    """An API with one connection."""

    def serve(request: Request) -> Any:
        variables = request.body["variables"]
        start = int(variables.get("after") or 0)
        end = min(start + int(variables.get("first") or 3), total)
        records = [{"id": number} for number in range(start, end)]
        page: dict[str, Any] = {"pageInfo": {"endCursor": str(end), "hasNextPage": end < total}}
        page[kind] = records if kind == "nodes" else [{"node": record} for record in records]
        return {"data": wrap(page)}

    return serve


def read(kind: str, serve: Any, settings: Any = None, **options: Any) -> tuple[list[Any], Any, ScriptedApi]:
    """The ids of a list, the last state, and the API."""
    api = ScriptedApi(serve)
    by_thread, by_task = executors(api, **(settings or {}))
    stop_after = options.pop("stop_after", None)
    variables = options.pop("variables", None)

    async def walk() -> tuple[list[Any], Any]:
        records = by_task.paginate_graphql(QUERY, variables, **options)
        found = []
        async for record in records:
            found.append(record["id"])
            if len(found) == stop_after:
                break
        state = records.state
        await records.aclose()
        return found, state

    if kind == "async":
        return (*asyncio.run(walk()), api)
    records = by_thread.paginate_graphql(QUERY, variables, **options)
    found = []
    for record in records:
        found.append(record["id"])
        if len(found) == stop_after:
            break
    return found, records.state, api


@both
@pytest.mark.parametrize("shape", ["nodes", "edges"])
@pytest.mark.parametrize("total", [0, 1, 3, 10])
def test_a_connection_is_read_as_relay_specifies_it(kind: str, shape: str, total: int) -> None:
    """The cursor goes into the variable `after`; the page size of the caller into `first`."""
    ids, state, api = read(kind, relay(shape, total), variables={"filter": "x"}, page_size=4)
    assert (ids, state["done"]) == (list(range(total)), True)
    assert all(request.body["variables"]["filter"] == "x" for request in api.requests)
    assert {request.body["variables"]["first"] for request in api.requests} == {4}
    assert len(api.requests) == max(1, -(-total // 4))


@both
def test_a_connection_below_others_is_named_by_its_path(kind: str) -> None:
    """`at` is the path in `data`; the cursor may have its own variable."""

    def serve(request: Request) -> Any:
        variables = request.body["variables"]
        request.body["variables"] = {**variables, "after": variables.get("next")}
        return relay("edges", wrap=lambda page: {"viewer": {"repos": page}})(request)

    ids, _, _ = read(kind, serve, at="viewer.repos", cursor_variable="next")
    assert ids == list(range(10))


@both
def test_the_blueprint_may_say_where_connections_are(kind: str) -> None:
    """A pagination whose cursor goes into variables is used as it is, with its page size."""
    block = {
        "records": "data.*.items[] | []",
        "next": {"from": "data.*.cursor | [0]", "to": {"body": "variables.after"}},
        "size": {"body": "variables.first", "value": 5},
    }

    def serve(request: Request) -> Any:
        page = relay()(request)["data"]["things"]
        more = page["pageInfo"]["hasNextPage"]
        cursor = page["pageInfo"]["endCursor"] if more else None
        return {"data": {"boards": {"items": page["nodes"], "cursor": cursor}}}

    ids, _, api = read(kind, serve, {"pagination": block})
    assert (ids, len(api.requests)) == (list(range(10)), 2)


@both
def test_errors_of_a_page_are_raised_in_its_place(kind: str) -> None:
    """Not an empty page, also beside data; the page is asked for again if a rule says so."""

    def serve(request: Request) -> Any:
        page = relay()(request)
        if request.number == 2:
            page["errors"] = [{"message": "no", "extensions": {"code": "C"}, "path": ["things"]}]
        return page

    with pytest.raises(ProviderError) as caught:
        read(kind, serve)
    assert (caught.value.code, caught.value.place) == ("C", "things")
    rule = {"when": {"json": {"path": "errors[0].extensions.code", "equals": "C"}}, "do": "retry"}
    ids, _, api = read(kind, serve, {"retries": {"rules": [rule]}})
    assert (ids, len(api.requests)) == (list(range(10)), 5)


@both
def test_a_graphql_list_goes_on_from_a_state(kind: str) -> None:
    """With the same query and variables only."""
    ids, state, _ = read(kind, relay(), variables={"filter": "x"}, stop_after=5)
    rest, _, _ = read(kind, relay(), variables={"filter": "x"}, state=json.loads(json.dumps(state)))
    assert ids + rest == list(range(10))
    with pytest.raises(InvalidRequest, match="json"):
        read(kind, relay(), variables={"filter": "y"}, state=state)


@both
def test_a_server_that_ignores_the_cursor_is_found(kind: str) -> None:
    """The variable has another name in the query: the first page comes again."""
    with pytest.raises(RequestFailed, match="same as page 1"):
        read(kind, relay(), cursor_variable="cursor")


@both
@pytest.mark.parametrize("options", [{"at": "a..b"}, {"at": 5}, {"at": "a[0]"}, {"cursor_variable": "a.b"}])
def test_wrong_names_are_errors_before_anything_is_sent(kind: str, options: dict[str, Any]) -> None:
    """They are the caller's mistake."""
    with pytest.raises(InvalidRequest):
        read(kind, lambda _: pytest.fail("sent"), **options)


@both
def test_a_list_without_pages_is_one_page(kind: str) -> None:
    """A connection that is null has no records."""
    ids, _, api = read(kind, lambda _: {"data": {"things": None}})
    assert (ids, len(api.requests)) == ([], 1)
