"""Wrong forms of actions, each with its exact place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.actions.schemas import _KNOWN, is_surely_schema
from nango_py.config.schema.validation import find_schema_fault
from tests.support.bad_files import KLAVIYO, PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

HEAD = f"""{KLAVIYO}actions:
  create:
    changes: [profiles]
    input:
      type: object
      required: [email]
      properties: {{email: {{type: string}}, name: {{type: string}}, limit: {{type: integer, default: 5}}}}
      additionalProperties: false
"""
"""An action without a request, up to line 23."""

REQUEST = "    request: {method: POST, path: profiles}\n"

# By name: the lines from 24 on, the problems, and words of the message.
WRONG: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no request": ("", ("k:17:3 E701",), "expected request or steps"),
    "request and steps": (
        f"{REQUEST}    steps: [{{name: a, request: {{method: GET, path: b}}}}]\n",
        ("k:17:3 E701",),
        "both given",
    ),
    "an unknown key": (f"{REQUEST}    results: id\n", ("k:25:5 E202",), 'did you mean "result"?'),
    "an unknown key of a request": (
        "    request: {method: POST, path: a, jsn: {}}\n",
        ("k:24:38 E202",),
        'did you mean "json"?',
    ),
    "no method": ("    request: {path: profiles}\n", ("k:24:5 E203",), '"method"'),
    "no path": ("    request: {method: GET}\n", ("k:24:5 E203",), '"path"'),
    "another method": ("    request: {method: FETCH, path: a}\n", ("k:24:23 E204",), "expected GET"),
    "two bodies": (
        "    request: {method: POST, path: a, json: {}, data: {}}\n",
        ("k:24:48 E701",),
        "json and data",
    ),
    "an unknown base": (
        "    request: {method: GET, path: a, base: content}\n",
        ("k:24:43 E204",),
        "requests.bases",
    ),
    "graphql with a path": (
        "    request: {path: a, graphql: {query: '{ a }'}}\n",
        ("k:24:15 E701",),
        "remove path",
    ),
    "a path with a query": ("    request: {method: GET, path: a?b=1}\n", ("k:24:34 E316",), "params"),
    "a path that leads out": ("    request: {method: GET, path: ../a}\n", ("k:24:34 E316",), "dot segment"),
    "a misspelt input": (
        "    request: {method: GET, path: 'a/${input.emial}'}\n",
        ("k:24:39 E703",),
        "did you mean input.email?",
    ),
    "an optional part of a path": (
        "    request: {method: GET, path: 'a/${input.name}'}\n",
        ("k:24:39 E703",),
        "may be absent",
    ),
    "an optional part of a text": (
        "    request: {method: POST, path: a, json: {hello: 'Dear ${input.name}'}}\n",
        ("k:24:60 E703",),
        'default("")',
    ),
    "an unknown root": (
        "    request: {method: POST, path: a, json: {key: '${api_key}'}}\n",
        ("k:24:53 E703",),
        "unknown name",
    ),
    "an item without a list": (
        "    request: {method: POST, path: a, json: {key: '${item.id}'}}\n",
        ("k:24:53 E703",),
        "for_each",
    ),
    "an open template": (
        "    request: {method: POST, path: a, json: {key: '${input.email'}}\n",
        ("k:24:50 E307",),
        "never closed",
    ),
    "an unknown filter": (
        "    request: {method: POST, path: a, json: {key: '${input.email | shout}'}}\n",
        ("k:24:50 E308",),
        "shout",
    ),
    "a result that is not JMESPath": (f"{REQUEST}    result: data[\n", ("k:25:13 E324",), "JMESPath"),
    "an outcome without a condition": (
        f"{REQUEST}    outcomes: [{{result: id}}]\n",
        ("k:25:16 E203",),
        '"when"',
    ),
    "outcomes of no step": (
        "    steps: [{name: a, request: {method: GET, path: a}}]\n    outcomes: [{when: {status: 404}}]\n",
        ("k:25:5 E701",),
        "write them in a step",
    ),
    "a step of the future": (
        (
            "    steps:\n"
            "      - {name: a, request: {method: GET, path: 'x/${steps.b.id}'}}\n"
            "      - {name: b, request: {method: GET, path: y}}\n"
        ),
        ("k:25:53 E703",),
        "no step before",
    ),
    "two steps of one name": (
        (
            "    steps:\n"
            "      - {name: a, request: {method: GET, path: x}}\n"
            "      - {name: a, request: {method: GET, path: y}}\n"
        ),
        ("k:26:10 E701",),
        "two steps",
    ),
    "too much at once": (
        (
            "    steps:\n"
            "      - name: a\n"
            "        for_each: {in: input.email, concurrency: 11}\n"
            "        request: {method: GET, path: x}\n"
        ),
        ("k:26:50 E401",),
        "<= 10",
    ),
    "a condition that is not JMESPath": (
        "    steps:\n      - {name: a, when: 'input.[', request: {method: GET, path: x}}\n",
        ("k:25:25 E324",),
        "JMESPath",
    ),
    "an unknown value": (
        (
            "    values: {who: input.email}\n"
            "    request: {method: POST, path: a, json: {key: '${values.whom}'}}\n"
        ),
        ("k:25:53 E703",),
        "did you mean values.who?",
    ),
    "an output that is not a schema": (
        f"{REQUEST}    output: {{type: strng}}\n",
        ("k:25:20 E702",),
        "JSON Schema",
    ),
    "a misspelt keyword of a schema": (
        f"{REQUEST}    output: {{type: object, proprties: {{}}}}\n",
        ("k:25:28 E702",),
        "proprties",
    ),
    "a schema elsewhere": (
        f"{REQUEST}    output: {{$ref: 'https://example.test/schema'}}\n",
        ("k:25:20 E702",),
        "another document",
    ),
    "a pattern that is slow": (
        f"{REQUEST}    output: {{type: string, pattern: '(a+)+$'}}\n",
        ("k:25:37 E319",),
        "pattern",
    ),
    "an example that does not fit": (
        f"{REQUEST}    examples: [{{input: {{email: 5}}, responses: [{{status: 200}}], output: null}}]\n",
        ("k:25:24 E704",),
        "input.email",
    ),
    "an example without a result": (
        f"{REQUEST}    examples: [{{input: {{email: a}}, responses: [{{status: 200}}]}}]\n",
        ("k:25:16 E704",),
        "output or error",
    ),
    "an example without a response": (
        f"{REQUEST}    examples: [{{input: {{email: a}}, output: 1}}]\n",
        ("k:25:16 E203",),
        '"responses"',
    ),
}


def case_of(text: str) -> Case:
    """The blueprint with the action."""
    return Case(klaviyo=HEAD + text)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_action_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and what is expected."""
    text, expected, words = WRONG[name]
    error = refusal(tmp_path, case_of(text))
    assert places(error) == expected, str(error)
    assert words in str(error)
    assert PLANTED not in everything_about(error)


@pytest.mark.parametrize(
    "text",
    [
        REQUEST,
        "    request: {method: GET, path: 'a/${input.email}', paginate: {max_records: '${input.limit}'}}\n",
        "    request: {method: POST, path: a, json: {name: '${input.name}', n: '${input.limit}'}}\n",
        "    request: {graphql: {query: '{ a }', variables: {id: '${input.email}'}}}\n    result: a.b\n",
        f"{REQUEST}    output: {{dependentRequired: {{a: [b]}}, dependentSchemas: {{a: {{}}}}}}\n",
        f"{REQUEST}    result: {{id: data.id}}\n    outcomes: [{{when: {{status: 4xx}}}}]\n",
        (
            "    steps:\n"
            "      - {name: a, for_each: {in: input.email}, request: {method: GET, path: 'x/${item}'}}\n"
            "      - {name: b, when: 'steps.a', request: {method: GET, path: 'y/${steps.a}'}}\n"
        ),
    ],
)
def test_right_actions_load(tmp_path: Path, text: str) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, case_of(text))
    assert list(integration.settings["actions"]) == ["create"]


@pytest.mark.parametrize(
    ("effect", "code"),
    [("reads: true", ""), ("changes: [a]", ""), ("reads: false", "E701"), ("title: A", "E701")],
)
def test_an_action_reads_or_changes(tmp_path: Path, effect: str, code: str) -> None:
    """What an action does to the API is said, because programs and people decide by it."""
    text = f"{KLAVIYO}actions:\n  a:\n    {effect}\n{REQUEST}"
    if code:
        assert places(refusal(tmp_path, Case(klaviyo=text))) == (f"k:17:3 {code}",)
    else:
        assert len(load(tmp_path, Case(klaviyo=text)).integrations) == 1


def test_an_action_that_reads_and_changes_is_refused(tmp_path: Path) -> None:
    """Both together contradict each other."""
    text = f"{KLAVIYO}actions:\n  a:\n    reads: true\n    changes: [a]\n{REQUEST}"
    assert places(refusal(tmp_path, Case(klaviyo=text))) == ("k:17:3 E701",)


ENTRY = """\
integrations:
  klaviyo:
    extends_blueprint: klaviyo:v0
    actions:
      create: null
      other:
        reads: true
        request: {method: GET, path: "a/${PLANTED}", params: {q: "${user_id}"}}
"""


def test_an_entry_adds_replaces_and_removes_actions(tmp_path: Path) -> None:
    """An entry's actions are merged by name, and may name environment variables."""
    (integration,) = load(tmp_path, Case(integrations=ENTRY, klaviyo=HEAD + REQUEST))
    assert list(integration.settings["actions"]) == ["other"]


def test_an_entry_replaces_an_action_as_a_whole(tmp_path: Path) -> None:
    """Nothing of the replaced action is left: its input would not fit the new request."""
    entry = ENTRY.replace("create: null", "create: {reads: true, request: {method: GET, path: b}}")
    (integration,) = load(tmp_path, Case(integrations=entry, klaviyo=HEAD + REQUEST))
    assert set(integration.settings["actions"]["create"]) == {"reads", "request"}


def test_a_wrong_action_of_an_entry_is_refused(tmp_path: Path) -> None:
    """The place is that of integrations.yaml."""
    entry = ENTRY.replace("${user_id}", "${user}")
    error = refusal(tmp_path, Case(integrations=entry, klaviyo=HEAD + REQUEST))
    assert places(error) == ("i:8:69 E703",)
    assert PLANTED not in everything_about(error)


ODD_SCHEMAS: tuple[Any, ...] = (
    None, True, 0, -1, 2, 1.5, "", "object", "strng", [], ["a"], ["a", "a"], [1], ["string", "null"], [{}],
    [{"type": 1}], {}, {"a": True}, {"a": 1}, {"a": ["b"]}, {"type": "object"}, {"type": 1}, {"unknown": 1},
)  # fmt: skip


@pytest.mark.parametrize("keyword", sorted(_KNOWN))
def test_the_quick_check_of_schemas_accepts_nothing_that_is_wrong(keyword: str) -> None:
    """Each keyword with odd values: where the quick check says yes, jsonschema finds nothing."""
    for value in ODD_SCHEMAS:
        if is_surely_schema({"properties": {"a": {keyword: value}}}):
            assert find_schema_fault({keyword: value}) == ((), ""), value


def test_the_quick_check_accepts_usual_schemas() -> None:
    """The control: what shipped actions use goes without jsonschema; a misspelt type does not."""
    usual: Any = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": ["string", "null"], "minLength": 1, "pattern": "^a", "description": "The id"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 5, "default": []},
            "sum": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "all"}]},
        },
        "additionalProperties": False,
    }
    assert is_surely_schema(usual)
    usual["properties"]["tags"]["items"]["type"] = "strng"
    assert not is_surely_schema(usual)
