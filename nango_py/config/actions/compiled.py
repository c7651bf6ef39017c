"""Actions of a settings tree, compiled and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.actions.names import INPUT, ITEM, STEPS, VALUES, Scope
from nango_py.config.actions.requests import BODIES, check_path, compile_request
from nango_py.config.actions.schemas import check_schema
from nango_py.config.response_match import ResponseMatch
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.environment import locate_problem
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.values import MAPPINGS, plain
from nango_py.errors import Problem, nearest, printable
from nango_py.json_path import find_path_fault
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path as FilePath

    from nango_py.config.actions.requests import ActionRequest
    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import JsonObject, Settings

NO_INPUT: Settings = {"type": "object", "properties": {}, "additionalProperties": False}

Result = str | dict[str, str] | None
"""JMESPath into a value, several by name, or None for the whole value."""


@record
class Outcome:
    """A response that is a result and not an error."""

    when: ResponseMatch
    result: Result


@record
class Step:
    """One request of an action, or one for each item of a list.

    Attributes:
        when: JMESPath over {input, steps, item}; the step is left out if it is empty or false; "" for always.
        items: JMESPath to the list; "" for a step without `for_each`.
        concurrency: how many of the list's requests are in flight at once.
        values: JMESPath over {input, steps, item} by name, for `${values.name}`.
    """

    name: str
    request: ActionRequest
    when: str
    items: str
    concurrency: int
    result: Result
    outcomes: tuple[Outcome, ...]
    values: tuple[tuple[str, str], ...] = ()


@record
class YamlAction:
    """An action of a file, ready to run.

    Attributes:
        changes: what the action changes; () if it only reads.
        input_schema: JSON Schema of its input.
        output_schema: JSON Schema of its result, or None.
        defaults: the defaults of the input's properties.
        is_single: whether it is one request without `for_each`, whose value is the result.
        result: for an action of steps: JMESPath over {input, steps}.
        place: `file:line` where it is written.
        roots: the names besides input, steps and item that its templates use.
    """

    name: str
    title: str
    description: str
    changes: tuple[str, ...]
    input_schema: JsonObject
    output_schema: JsonObject | None
    defaults: JsonObject = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    is_single: bool
    result: Result
    place: str
    roots: frozenset[str] = frozenset()
    examples: tuple[Settings, ...] = field(default=(), repr=False)


def compile_action(
    settings: Settings, name: str, locator: Located, folders: Iterable[FilePath] = ()
) -> tuple[YamlAction | None, list[Problem]]:
    """An action of a settings tree that fits the file format, and its problems; None if there are any.

    Args:
        settings: the tree of a blueprint or an integration.
        name: the action's name in `actions:`.
        locator: where the parts of the tree were written.
        folders: where the files may be found, to report exact columns.
    """
    return _Compiler(settings, name, locator, tuple(folders)).compile()


class _Compiler:
    def __init__(
        self, settings: Settings, name: str, locator: Located, folders: tuple[FilePath, ...]
    ) -> None:
        self._name = name
        self._action: Settings = settings["actions"][name]
        self._bases = list((settings.get("requests") or {}).get("bases") or ())
        self._path: Path = ("actions", name)
        self._locator = locator
        self._folders = folders
        self._problems: list[Problem] = []
        self._roots: set[str] = set()
        self._input: JsonObject = plain(self._action.get("input") or NO_INPUT)

    def compile(self) -> tuple[YamlAction | None, list[Problem]]:
        action = self._action
        self._check_parts()
        output = None if action.get("output") is None else plain(action["output"])
        for key, schema in (("input", self._input), ("output", output)):
            if schema is not None:
                self._problems += check_schema(schema, (*self._path, key), self._locator)
        steps = self._steps()
        is_single = "request" in action
        result = None if is_single else self._result(action, self._path)
        place = self._locator.key_position(self._path)
        if self._problems or not steps:
            return None, self._problems
        compiled = YamlAction(
            name=self._name,
            title=str(action.get("title") or self._name),
            description=str(action.get("description") or ""),
            changes=tuple(map(str, action.get("changes") or ())),
            input_schema=self._input,
            output_schema=output,
            defaults=defaults_of(self._input),
            steps=tuple(steps),
            is_single=is_single,
            result=result,
            place=f"{place.file}:{place.line}" if place.line else place.file,
            roots=frozenset(self._roots - {INPUT, VALUES, STEPS, ITEM}),
            examples=tuple(action.get("examples") or ()),
        )
        return compiled, []

    def _check_parts(self) -> None:
        """What an action has to have: what it does to the API, and a request (E701)."""
        action = self._action
        if (action.get("reads") is True) == bool(action.get("changes")):
            what = "the action reads and changes" if action.get("reads") else "the action has no effect"
            help_ = "write reads: true, or what it changes, such as changes: [profiles]"
            self._report(self._path, "E701", what, "expected reads or changes", help_)
        if ("request" in action) == ("steps" in action):
            what = (
                "request and steps are both given"
                if "request" in action
                else "request and steps are both missing"
            )
            self._report(self._path, "E701", what, "expected request or steps")
        for key in ("outcomes", "values"):
            if "steps" in action and key in action:
                what = f"{key} belong to one request"
                self._report((*self._path, key), "E701", what, "", "write them in a step")
        kind = self._input.get("type", "object")
        if kind != "object":
            where = self._locator.position((*self._path, "input", "type"))
            self._problems.append(Problem(where, "E702", "the input is an object", "expected type: object"))

    def _report(self, path: Path, code: str, what: str, expected: str = "", help_: str = "") -> None:
        self._problems.append(Problem(self._locator.key_position(path), code, what, expected, help_))

    def _steps(self) -> list[Step]:
        if "request" in self._action:
            step = self._step(self._action, self._path, ())
            return [step]
        steps: list[Step] = []
        names: tuple[str, ...] = ()
        for index, written in enumerate(self._action.get("steps") or ()):
            path = (*self._path, "steps", index)
            name = str(written.get("name", ""))
            if name in names:
                self._report((*path, "name"), "E701", f'two steps are named "{printable(name)}"')
            step = self._step(written, path, names)
            names = (*names, name)
            steps.append(step)
        return steps

    def _step(self, written: Settings, path: Path, earlier: tuple[str, ...]) -> Step:
        for_each: Settings = written.get("for_each") or {}
        values: Settings = written.get("values") or {}
        scope = Scope(self._input, earlier, tuple(values), has_item=bool(for_each))
        request, place = written["request"], (*path, "request")
        self._check_request(request, place)
        compiled = compile_request(request, _Reader(self, scope, place))
        outcomes = tuple(
            Outcome(
                ResponseMatch.from_settings(outcome["when"]),
                self._result(outcome, (*path, "outcomes", index)),
            )
            for index, outcome in enumerate(written.get("outcomes") or ())
        )
        when = self._jmespath(written, path, "when") if "steps" in self._action else ""
        items = self._jmespath(for_each, (*path, "for_each"), "in")
        result = self._result(written, path)
        return Step(
            name=str(written.get("name", "")) if "steps" in self._action else "",
            request=compiled,
            when=when,
            items=items,
            concurrency=int(for_each.get("concurrency", 1)),
            result=result,
            outcomes=outcomes,
            values=tuple(
                (str.__str__(key), self._jmespath(values, (*path, "values"), key)) for key in values
            ),
        )

    def _check_request(self, request: Settings, path: Path) -> None:
        """Parts of a request that are missing, or do not go together (E701), and unknown bases (E204)."""
        if "graphql" in request:
            beside = [key for key in ("method", "path", "params", *BODIES) if key in request]
            if beside:
                what = f"graphql says everything that {beside[0]} could say"
                self._report((*path, beside[0]), "E701", what, "", f"remove {beside[0]}")
        else:
            for key in ("method", "path"):
                if key not in request:
                    self._report(path, "E203", f'missing key "{key}"')
        bodies = [key for key in BODIES if key in request]
        if len(bodies) > 1:
            what = f"{' and '.join(bodies)} are both given"
            self._report((*path, bodies[1]), "E701", what, "expected one of json, data and body")
        base = request.get("base")
        if base is not None and base not in self._bases:
            near = nearest(str(base), self._bases)
            help_ = f'did you mean "{near}"?' if near else "add it to requests.bases"
            what = f'requests.bases has no "{printable(str(base), 64)}"'
            self._problems.append(Problem(self._locator.position((*path, "base")), "E204", what, "", help_))
        paginate = request.get("paginate")
        if isinstance(paginate, MAPPINGS):
            self._jmespath(paginate, (*path, "paginate"), "records")

    def use(self, template: Template) -> None:
        """Note which names the templates use."""
        self._roots.update(name.partition(".")[0] for name in template.names)

    def locate(self, problem: TemplateProblem, path: Path) -> None:
        """Report what is wrong with a template."""
        text = self._text_at(path)
        self._problems.append(locate_problem(problem, text, self._locator.position(path), self._folders))

    def _text_at(self, path: Path) -> str:
        value: Any = {"actions": {self._name: self._action}}
        for part in path:
            value = value[part]
        return str.__str__(value) if isinstance(value, str) else ""

    def _result(self, block: Settings, path: Path) -> Result:
        result = block.get("result")
        if isinstance(result, MAPPINGS):
            place = (*path, "result")
            return {str.__str__(key): self._jmespath(result, place, key) for key in result}
        return self._jmespath(block, path, "result") or None

    def _jmespath(self, block: Settings, path: Path, key: str) -> str:
        text = block.get(key)
        if not isinstance(text, str):
            return ""
        what, help_ = find_path_fault(str.__str__(text))
        if what:
            self._problems.append(Problem(self._locator.position((*path, key)), "E324", what, "", help_))
        return str.__str__(text)


class _Reader:
    """Compiles the templates of one request."""

    def __init__(self, compiler: _Compiler, scope: Scope, place: Path) -> None:
        self._compiler = compiler
        self._scope = scope
        self._place = place

    def read(self, text: str, path: Path, *, may_be_absent: bool) -> Template:
        """The template of a text; an empty one if it is malformed."""
        where = (*self._place, *path)
        try:
            template = compile_template(text)
            if path == ("path",):
                check_path(template)
        except TemplateProblem as malformed:
            self._compiler.locate(malformed, where)
            return compile_template("")
        self._compiler.use(template)
        for problem in self._scope.check(template, is_whole=may_be_absent):
            self._compiler.locate(problem, where)
        return template


def defaults_of(schema: JsonObject) -> JsonObject:
    """The defaults of an object's properties."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {
        name: below["default"]
        for name, below in properties.items()
        if isinstance(below, dict) and "default" in below
    }
