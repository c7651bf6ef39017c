"""Expressions that our own scanner reads mean exactly what Jinja's parser makes of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nango_py.config.template import compiler as templates
from nango_py.config.template.compiler import TemplateProblem, compile_template
from nango_py.config.template.scanner import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]

READ = [
    'additional_config.revision | default("2026-10-15")',
    "additional_config.revision|default('2026-10-15')",
    '  a  |  default ( "x" )  ',
    "a | lower",
    "a.b_c.D2 | trim | upper",
    "a | lower | default('')",
    'a or "b"',
    'a or b or "c" | upper',
    '"a" or b',
    '"${"',
    '"it\'s" | upper',
    "'say \"x\"'",
    'a | hmac_sha256("key")',
    'a | join(",")',
    'a | unknown("x")',
    'a | default("é 漢 \t}{")',
    "a.default | default('or')",
    "a | upper()",
    "orange or android",
]
LEFT_TO_JINJA = [
    "",
    "a b",
    "a |",
    "| a",
    "a | default(b)",
    "a | default('x', true)",
    "a | default('x'",
    "1",
    "a | default(1)",
    "true",
    "none | default('x')",
    "a if b else c",
    "not a",
    "a and b",
    "a == b",
    "a['b']",
    "a()",
    "(a)",
    'a | default("x\\n")',
    "a | default('\\'')",
    "'a' 'b'",
    "a.true",
    "a | or",
    "a or",
    "or",
    "a | b.c",
    "a | default('x')('y')",
    "a..b",
    "a.",
    "_a",
    "a._b",
    "a + b",
    "a ~ b",
    "[a]",
    "{}",
    "a, b",
    "a | default('x\ny')",
    "a\u00a0| lower",
    "a\n| lower",
    "a | default(x='y')",
    "é",
    "a is defined",
    "a | in",
    "a.b.c if x else 'y'",
]


def tree_of(node: Any) -> Any:
    """A syntax tree, ours or Jinja's, as plain data."""
    kind = type(node).__name__
    parts: dict[str, Callable[[], Any]] = {
        "Name": lambda: node.name,
        "Const": lambda: (type(node.value).__name__, node.value),
        "Getattr": lambda: (tree_of(node.node), node.attr),
        "Or": lambda: (tree_of(node.left), tree_of(node.right)),
        "Filter": lambda: (
            tree_of(node.node),
            node.name,
            [tree_of(one) for one in node.args],
            (list(node.kwargs), node.dyn_args, node.dyn_kwargs),
        ),
    }
    return kind, parts[kind]() if kind in parts else repr(node)


def by_jinja(expression: str) -> Any:
    """The tree that Jinja's parser gives, or None where it refuses."""
    try:
        return templates._Compiler("", {}, allow_env=False)._parsed(expression)
    except TemplateProblem:
        return None


@pytest.mark.parametrize("expression", READ)
def test_what_the_scanner_reads_is_what_jinja_reads(expression: str) -> None:
    """Names, texts, filters and `or` give one and the same tree."""
    assert tree_of(scan(expression)) == tree_of(by_jinja(expression))


@pytest.mark.parametrize("expression", LEFT_TO_JINJA)
def test_everything_else_is_left_to_jinja(expression: str) -> None:
    """Where Jinja's lexer has rules of its own the scanner gives no response."""
    assert scan(expression) is None


def expressions_of(folder: Path) -> Iterator[str]:
    """Every expression in the blueprints of a folder."""
    for path in sorted(folder.glob("*.yaml")):
        for text in texts_of(yaml.safe_load(path.read_text())):
            index = 0
            while (start := text.find("${", index)) >= 0:
                index = templates._end_of(text, start + 2)
                if index < 0:
                    break
                yield text[start + 2 : index]


def texts_of(value: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)


def test_the_shipped_blueprints_are_read_alike() -> None:
    """Of the expressions in our own blueprints, those the scanner reads are as Jinja reads them."""
    found = sorted(set(expressions_of(ROOT / "blueprints")))
    read = [expression for expression in found if scan(expression) is not None]
    assert len(read) > len(found) / 2
    assert [tree_of(scan(one)) for one in read] == [tree_of(by_jinja(one)) for one in read]


PIECES = [
    "a",
    "b.c",
    "or",
    "default",
    "lower",
    "|",
    "(",
    ")",
    '"x"',
    "'y z'",
    " ",
    "  ",
    "true",
    "is",
    ".",
    "1",
    ",",
]


def test_short_expressions_are_read_alike() -> None:
    """Every way to put four pieces together: where the scanner answers, Jinja gives the same tree."""
    answered = 0
    for pieces in itertools.product(PIECES, repeat=4):
        expression = "".join(pieces)
        tree = scan(expression)
        if tree is not None:
            answered += 1
            assert tree_of(tree) == tree_of(by_jinja(expression)), expression
    assert answered > 500


@given(st.lists(st.sampled_from([*PIECES, " | ", ' | default("x")', " or ", "é", "\\", "\n"]), max_size=12))
def test_longer_expressions_are_read_alike(pieces: list[str]) -> None:
    """The same for any longer run of pieces."""
    expression = "".join(pieces)
    tree = scan(expression)
    if tree is not None:
        assert tree_of(tree) == tree_of(by_jinja(expression))


@given(st.text(max_size=30))
def test_any_text_is_read_alike(expression: str) -> None:
    """And for any text at all."""
    tree = scan(expression)
    if tree is not None:
        assert tree_of(tree) == tree_of(by_jinja(expression))


VALUES: list[dict[str, Any]] = [
    {},
    {"a": "A b", "b": {"c": "x"}, "additional_config": {"revision": "2020-01-01"}},
    {"a": "", "b": None, "additional_config": {"revision": ""}},
    {"a": 5, "b": {"c": True}, "additional_config": {}},
    {"a": ["x", "y"], "b": {"c": {"d": 1}}},
]


def outcome(text: str, variables: dict[str, Any]) -> Any:
    """What a template renders to, or the problem it has."""
    try:
        template = compile_template(text)
        return template.names, sorted(template.optional_names), template.render(variables)
    except TemplateProblem as problem:
        return problem.code, problem.what, problem.help, problem.offset


@pytest.mark.parametrize("expression", READ)
@pytest.mark.parametrize("variables", VALUES)
def test_both_roads_render_alike(
    expression: str, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, texts and refusals are the same whichever of the two has read the expression."""
    text = f"<${{{expression}}}>"
    ours = outcome(text, variables)
    monkeypatch.setattr(templates, "scan", lambda _: None)
    assert outcome(text, variables) == ours


def test_the_comparison_would_see_a_difference() -> None:
    """The control: trees of different expressions differ."""
    assert tree_of(scan("a | lower")) != tree_of(by_jinja("a | upper"))
    assert tree_of(scan("a or b")) != tree_of(by_jinja("b or a"))
