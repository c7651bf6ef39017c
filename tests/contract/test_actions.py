"""Every action of every built-in blueprint, with inputs made from its schema."""

from __future__ import annotations

import copy
import json
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nango_py import NangoError
from nango_py.actions.definition import InputCheck
from nango_py.actions.execution import Execution
from nango_py.actions.parallel import InOrder
from nango_py.actions.yaml_actions import Caller, RunnableYaml
from nango_py.blueprint_tests.bench import Bench, logger
from nango_py.clock import VirtualClock
from nango_py.config.actions.compiled import compile_action
from nango_py.config.catalogue import Catalogue
from nango_py.config.schema.validation import check_value
from nango_py.config.schema.value_check import compile_check
from nango_py.engine.events import Events
from nango_py.engine.executor import Executor
from nango_py.engine.interfaces import run_sync
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import ActionInputError, Position, ProviderError
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.tokens.unstored import UnstoredSource
from tests.support.made_values import FakeResponse
from tests.support.schema_values import values_of

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = Catalogue([("local", ROOT / "blueprints")])
NAMES = sorted(
    path.stem.replace(".", ":", 1)
    for path in (ROOT / "blueprints").glob("*.yaml")
    if "\nactions:" in path.read_text("utf-8")
)
"""The blueprints that have actions themselves."""

# A test runs every action of a blueprint in each example, and there are forty blueprints.
for_each_blueprint = settings(
    max_examples=max(3, settings().max_examples // 10),
    # A failure names its action at once; to shrink it would take minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BODIES: tuple[Any, ...] = (
    {}, [], None, {"data": [{"id": 1}], "items": [{"id": 1}], "ok": True}, {"id": "x", "data": {"id": "y"}},
)  # fmt: skip
"""Responses of an API that may be anything."""


class Recorder:
    """Responds to every request with a body, and keeps the requests."""

    def __init__(self, body: Any) -> None:
        self.sent: list[Any] = []
        self._body = body

    def send(self, plan: Any, seconds: float) -> Any:
        """Keep a request."""
        self.sent.append(plan)
        return FakeResponse(200, {"Content-Type": "application/json"}, self._body)


class Tried:
    """A blueprint whose actions run without a socket."""

    def __init__(self, name: str) -> None:
        self._bench = Bench(CATALOGUE.find(name, Position(name)), CATALOGUE)
        self.blueprint = self._bench.blueprint
        self._runtime = IntegrationRuntime(self._bench.declared, VirtualClock())
        self._runtime.logger = logger
        first = next(iter(self._bench.examples), {})
        kept = {key: first[key] for key in ("credentials", "additional_config") if key in first}
        self.connection = self._bench.connection(self._bench.declared, kept)

    @cached_property
    def actions(self) -> list[tuple[RunnableYaml, st.SearchStrategy[Any]]]:
        """The actions, and values that fit their inputs."""
        found = []
        for name in self.blueprint.settings["actions"]:
            action, problems = compile_action(self.blueprint.settings, name, self.blueprint.origins)
            assert action is not None, problems
            found.append((RunnableYaml(self._bench.declared, action), values_of(action.input_schema)))
        return found

    def run(self, action: RunnableYaml, value: Any, body: Any) -> tuple[list[Any], Any]:
        """The requests of an action, and its result or error."""
        recorder, clock = Recorder(body), VirtualClock()
        executor = Executor(
            lambda: self._runtime, UnstoredSource(self.connection), recorder, MemoryLimits(clock), clock
        )
        execution = Execution("a", action.info.name, "u", clock, Events(), logger, 1e9)
        caller = Caller(executor, lambda: self.connection, InOrder())
        try:
            return recorder.sent, run_sync(action.run(action.input.check(value), execution, caller))
        except NangoError as error:
            return recorder.sent, error


@pytest.fixture(scope="module", params=NAMES)
def tried(request: pytest.FixtureRequest) -> Tried:
    """Each blueprint with actions."""
    return Tried(request.param)


@for_each_blueprint
@given(data=st.data())
def test_every_input_that_fits_is_sent_safely(tried: Tried, data: st.DataObject) -> None:
    """The request stays below the API's URLs, values change no path, and the input is left as it was."""
    bases = _bases_of(tried)
    for action, values in tried.actions:
        value = data.draw(values, label=action.info.name)
        before = copy.deepcopy(value)
        sent, result = tried.run(action, value, data.draw(st.sampled_from(BODIES)))
        assert value == before
        if isinstance(result, ActionInputError):
            assert {problem.code for problem in result.problems} <= {"E312", "E314", "E316"}
            assert not sent
            continue
        assert sent or isinstance(result, NangoError), action.info.name
        assert isinstance(result, NangoError) or json.dumps(result, allow_nan=False)
        assert not isinstance(result, ProviderError) or result.status == 200
        for plan in sent:
            assert plan.url.startswith(bases), plan.url
            segments = unquote(urlsplit(plan.url).path).split("/")
            assert not {".", ".."} & set(segments), plan.url
            if "${" not in json.dumps(value, ensure_ascii=False):
                assert "${" not in unquote(plan.url)
                assert b"${" not in (plan.body or b"")


def _bases_of(tried: Tried) -> tuple[str, ...]:
    requests = tried.blueprint.settings["requests"]
    urls = [str(requests["base_url"]), *map(str, (requests.get("bases") or {}).values())]
    return tuple(url.partition("${")[0].rstrip("/") for url in urls)


@for_each_blueprint
@given(data=st.data())
def test_the_fast_check_agrees_with_json_schema(tried: Tried, data: st.DataObject) -> None:
    """What fits is accepted without jsonschema, and a value that jsonschema refuses never is."""
    for action, values in tried.actions:
        schema = action.info.input_schema
        is_fitting = compile_check(schema)
        validator = jsonschema.Draft202012Validator(schema)
        value = data.draw(values)
        if not validator.is_valid(value):
            continue  # a keyword that the strategy does not read
        assert is_fitting(value), (action.info.name, value)
        for name in list(value):
            changed = {**value, name: data.draw(st.sampled_from([None, 5, "", [], {}, True, 1.5]))}
            if is_fitting(changed):
                assert validator.is_valid(changed), (action.info.name, changed)
            assert bool(check_value(schema, changed, "input")) is not validator.is_valid(changed)


def test_there_are_actions() -> None:
    """The control: the files are found."""
    assert {"klaviyo:v1", "slack:v0"} <= set(NAMES)


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"type": "object"}, {}, True),
        ({"type": "object"}, [], False),
        ({"type": ["string", "null"]}, None, True),
        ({"type": "integer"}, True, False),
        ({"type": "number"}, float("nan"), False),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, [], False),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], False),
        ({"enum": ["a", "b"]}, "a", True),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "abcd", False),
        ({"type": "string", "pattern": "^a"}, "ab", True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, False),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 4, True),
        ({"exclusiveMinimum": 3, "exclusiveMaximum": 5}, 5, False),
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, False),
        ({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}, {"x": 1}, False),
        ({"type": "object", "minProperties": 1}, {}, False),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, False),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 2}, True),
    ],
)
def test_the_fast_check_reads_keywords(schema: Any, value: Any, fits: bool) -> None:  # noqa: FBT001
    """Each keyword accepts and refuses; what it does not know, it leaves to jsonschema."""
    assert compile_check(schema)(value) is fits
    assert not compile_check({**schema, "contains": {}})(value)


def test_jsonschema_decides_what_the_fast_check_cannot() -> None:
    """A schema with another keyword works all the same, and 1.0 is a whole number."""
    from nango_py.actions.definition import ActionInfo

    schema: Any = {
        "type": "object",
        "properties": {"a": {"type": "array", "uniqueItems": True}, "n": {"type": "integer"}},
    }
    check = InputCheck(ActionInfo("i", "a", "", "", (), schema, None, "yaml", ""))
    assert check.check({"a": [1, 2], "n": 1.0}) == {"a": [1, 2], "n": 1.0}
    with pytest.raises(ActionInputError):
        check.check({"a": [1, 1]})
