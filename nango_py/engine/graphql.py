"""GraphQL: what a document does, what its response says, and how its lists go on.

Source: https://spec.graphql.org/October2021/ and https://relay.dev/graphql/connections.htm
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.pagination_merge import overlay_pagination
from nango_py.errors import InvalidRequest, printable
from nango_py.record import record, replaced
from nango_py.secret import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.plan import Plan
    from nango_py.errors import ProviderError
    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.transport.response import Response

KINDS = frozenset({"query", "mutation", "subscription"})
# Section 2.1: strings and comments first, since braces in them mean nothing.
TOKEN = re.compile(
    r'"""(?:\\"""|(?!""").)*"""|"(?:\\.|[^"\\\n])*"|#[^\n\r]*|[_A-Za-z][_0-9A-Za-z]*|[{}()]|[^\s,\ufeff]',
    re.DOTALL,
)
NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")
FIRST_ERROR = 400


@record
class Document:
    """A GraphQL request.

    Attributes:
        is_query: whether it only reads, so that it may be sent twice.
        body: what is sent.
    """

    is_query: bool
    body: JsonObject


def make_document(query: object, variables: object, operation_name: object) -> Document:
    """The request for an operation of a document.

    Raises:
        InvalidRequest: there is no such operation, or an argument has the wrong type.
    """
    if not isinstance(query, str):
        raise InvalidRequest(f"query must be a GraphQL document as text, not {type(query).__name__}")
    if variables is not None and not isinstance(variables, Mapping):
        raise InvalidRequest(f"variables must be a mapping, not {type(variables).__name__}")
    if operation_name is not None and not isinstance(operation_name, str):
        raise InvalidRequest(f"operation_name must be text, not {type(operation_name).__name__}")
    known = find_operations(query)
    if not known:
        raise InvalidRequest("query has no operation: expected query, mutation or { ... }")
    chosen = [kind for kind, name in known if name == operation_name] if operation_name else [known[0][0]]
    if not chosen or (len(known) > 1 and not operation_name):
        names = ", ".join(printable(name, 60) for _, name in known if name)
        raise InvalidRequest(f"operation_name must be one of the operations of the query: {names}")
    body: JsonObject = {"query": query, "variables": dict(variables or {})}
    if operation_name:
        body["operationName"] = operation_name
    return Document(is_query=chosen == ["query"], body=body)


def find_operations(query: str) -> list[tuple[str, str]]:
    """The kind and name of each operation of a document, in order; fragments are left out."""
    found: list[tuple[str, str]] = []
    depth, is_start, waits_for_name = 0, True, False
    for word in TOKEN.findall(query):
        if word[0] in '"#':
            continue
        if depth == 0 and is_start:
            if word in KINDS or word == "{":
                found.append(("query" if word == "{" else word, ""))
            is_start, waits_for_name = False, word in KINDS
        elif waits_for_name:
            if NAME.fullmatch(word):
                found[-1] = (found[-1][0], word)
            waits_for_name = False
        if word in "{(":
            depth += 1
        elif word in "})":
            depth -= 1
            is_start = depth == 0 and word == "}"
    return found


def with_safety(plan: Plan, document: Document) -> Plan:
    """The plan of a document: a query may be sent twice, a mutation only with an idempotency key.

    That an endpoint is `safe` is said of its queries.
    """
    is_safe = document.is_query or (plan.safe_to_repeat and not plan.own.safe)
    return replaced(plan, safe_to_repeat=is_safe)


def read_data(
    response: Response, plan: Plan, read_error: Callable[[Response, Plan], ProviderError], *, is_error: bool
) -> JsonObject:
    """The `data` of a response.

    Args:
        response: of the call.
        plan: of the call.
        read_error: returns the error that a response stands for, as the blueprint's `errors` say.
        is_error: whether its status, or the blueprint, says that the call failed.

    Raises:
        ProviderError: the response has errors, also beside data, or is not one of GraphQL.
    """
    try:
        body: JsonValue = response.json()
    except ValueError:
        body = None
    found = body if isinstance(body, dict) else {}
    errors, data = found.get("errors"), found.get("data")
    if is_error or errors or not isinstance(data, dict):
        raise _with_details(read_error(response, plan), response, plan, errors)
    return data


def _with_details(error: ProviderError, response: Response, plan: Plan, errors: JsonValue) -> ProviderError:
    """The error, with the code and the place of the first error in the response."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        if response.status_code < FIRST_ERROR and not errors:
            error.args = (f"{error}: not a GraphQL response: data is missing",)
        return error
    secrets = plan.settings.secrets
    extensions = first.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    code = code or first.get("type") or ""
    error.code = error.code or mask_secrets(printable(str(code), 100), secrets)
    message = mask_secrets(printable(str(first.get("message") or ""), 500), secrets)
    error.provider_message = error.provider_message or message
    error.place = mask_secrets(_place_of(first), secrets)
    more = len(errors) - 1 if isinstance(errors, list) else 0
    text = f"{plan.settings.integration.name} POST /{plan.masked_endpoint()}: status {response.status_code}"
    text += f", {error.code}" if error.code else ""
    text += f", at {error.place}" if error.place else ""
    text += f": {error.provider_message}" if error.provider_message else ""
    error.args = (text + (f" (and {more} more)" if more else ""),)
    return error


def _place_of(error: JsonObject) -> str:
    """The field that an error is about, such as `viewer.repositories[0].name`, or its place in the query."""
    path, locations = error.get("path"), error.get("locations")
    if isinstance(path, list) and path:
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        return printable(text.lstrip("."), 200)
    first = locations[0] if isinstance(locations, list) and locations else None
    if isinstance(first, dict):
        return printable(f"line {first.get('line')}, column {first.get('column')}", 60)
    return ""


@record
class GraphQLList:
    """A list of a GraphQL API.

    Attributes:
        document: the request for its first page.
        at: the dotted path of the connection in `data`; "" for the first connection directly below.
        cursor_variable: the variable of the query that takes the cursor.
    """

    document: Document
    at: str = ""
    cursor_variable: str = "after"

    def pagination(self, block: Settings) -> Settings:
        """The blueprint's block if it is for GraphQL and no path is given, else that of Relay over it."""
        rule = block.get("next")
        target = rule.get("to", {}) if isinstance(rule, Mapping) else {}
        if not self.at and str(target.get("body", "")).startswith("variables."):
            return block
        place = f"data.{self.at}" if self.at else "data.* | [?pageInfo] | [0]"
        relay = {
            "records": f"{place}.[nodes, edges[].node] | [?@] | [0] || `[]`",
            "next": {
                "from": f"{place}.pageInfo.endCursor",
                "to": {"body": f"variables.{self.cursor_variable}"},
                "more": f"{place}.pageInfo.hasNextPage",
            },
            "size": {"body": "variables.first"},
        }
        return overlay_pagination(block, relay)


AT = re.compile(r"[_A-Za-z][_0-9A-Za-z]*(\.[_A-Za-z][_0-9A-Za-z]*)*")


def split_list(
    query: object, variables: object, options: Mapping[str, Any]
) -> tuple[GraphQLList, dict[str, Any]]:
    """The list that `paginate_graphql` asks for, and the options of the call for it.

    Raises:
        InvalidRequest: there is no such operation, or an argument has the wrong type.
    """
    own = {"at": "", "cursor_variable": "after", "operation_name": None}
    at, cursor_variable, operation_name = ({**own, **options}[name] for name in own)
    if not isinstance(at, str) or not (at == "" or AT.fullmatch(at)):
        raise InvalidRequest("at must be the path of a connection in data, such as viewer.repositories")
    if not isinstance(cursor_variable, str) or not NAME.fullmatch(cursor_variable):
        raise InvalidRequest("cursor_variable must be the name of a variable, such as after")
    found = GraphQLList(make_document(query, variables, operation_name), at, cursor_variable)
    rest = {name: value for name, value in options.items() if name not in own}
    return found, {**rest, "method": "POST", "json": found.document.body}
