"""Templates: what they render, what they refuse, and what they never show."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import timeit
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.parser import dump_trees
from nango_py.config.values import EnvironmentText
from nango_py.secret import Secret

VALUES: dict[str, Any] = {
    "api_key": "pk_1",
    "user_id": "user-1",
    "empty": "",
    "nothing": None,
    "number": 12,
    "share": 0.5,
    "yes": True,
    "no": False,
    "list": ["a", "b", 3],
    "additional_config": {"revision": "2026-10-15", "deep": {"er": "x"}, "items": "kept"},
}


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("plain", "plain"),
        ("", ""),
        ("Bearer ${api_key}", "Bearer pk_1"),
        ("${ api_key }", "pk_1"),
        ("${api_key}${user_id}", "pk_1user-1"),
        ("${additional_config.deep.er}", "x"),
        ("${additional_config.items}", "kept"),
        ('${ "${" }api_key}', "${api_key}"),
        ("$${api_key}", "$pk_1"),
        (
            "$api_key {api_key} {{ api_key }} {% if x %} {# c #}",
            "$api_key {api_key} {{ api_key }} {% if x %} {# c #}",
        ),
        ("${api_key}}", "pk_1}"),
        ('${"a}b"}', "a}b"),
        ("${'it'}", "it"),
        ("${number} ${share} ${yes} ${no}", "12 0.5 true false"),
        ("${3}", "3"),
        ('${missing | default("d")}', "d"),
        ('${nothing | default("d")}', "d"),
        ('${empty | default("d")}', ""),
        ("${missing | default(user_id)}", "user-1"),
        ('${missing | upper | default("d")}', "d"),
        ('${nothing | base64 | default("d")}', "d"),
        ("${missing or user_id}", "user-1"),
        ('${empty or nothing or "last"}', "last"),
        ("${api_key | upper}", "PK_1"),
        ("${api_key | upper | lower}", "pk_1"),
        ('${"  x " | trim}', "x"),
        ('${"a/b c&é" | urlencode}', "a%2Fb%20c%26%C3%A9"),
        ("${api_key | base64}", "cGtfMQ=="),
        ('${"é" | base64}', "w6k="),
        ("${number | string}", "12"),
        ('${list | join(",")}', "a,b,3"),
        ("${list | join}", "ab3"),
        ("${list | tojson}", '["a","b",3]'),
        ("${additional_config.deep | tojson}", '{"er":"x"}'),
        ("${yes | tojson}", "true"),
        ("${api_key | sha256}", hashlib.sha256(b"pk_1").hexdigest()),
        ("${user_id | hmac_sha1(api_key)}", hmac.new(b"pk_1", b"user-1", "sha1").hexdigest()),
        ('${"m" | hmac_sha256("k") | base64}', None),
        ('${"a" if yes else "b"}', "a"),
        ('${"a" if no else "b"}', "b"),
        ('${"a" if missing else "b"}', "b"),
        ('${"a" if not missing else "b"}', "a"),
        ('${"a" if user_id == "user-1" else "b"}', "a"),
        ('${"a" if user_id != "user-1" else "b"}', "b"),
        ('${"a" if missing == "x" else "b"}', "b"),
        ('${"a" if missing != "x" else "b"}', "a"),
        ("${missing if missing is defined else user_id}", "user-1"),
        ('${"a" if number == 12 else "b"}', "a"),
        ("${(missing or api_key) | upper}", "PK_1"),
    ],
)
def test_rendered_text(source: str, rendered: str | None) -> None:
    """A template gives the text that its grammar promises."""
    if rendered is None:
        rendered = "Njc4MWFjYTkyNTAzYTNmN2ExYTJjNTIyZGEyNTc0OWQ0MDQ3YmZkYmY0YjAxNzY1NmM3ODE2YWJlYTIyM2M5OA=="
        key = hmac.new(b"k", b"m", "sha256").hexdigest()
        import base64

        rendered = base64.b64encode(key.encode()).decode()
    assert compile_template(source).render(VALUES) == rendered


@pytest.mark.parametrize(
    "source", ["${missing}", "${nothing}", "${missing | upper}", "${additional_config.rev}"]
)
def test_missing_value_is_named(source: str) -> None:
    """A variable without a value is a problem that names it, and never an empty text."""
    template = compile_template(source)
    with pytest.raises(
        TemplateProblem, match=r'variable "(missing|nothing|additional_config\.rev)" has no value'
    ) as e:
        template.render(VALUES)
    assert e.value.code == "E314"


@pytest.mark.parametrize("source", ["${list}", "${additional_config}", "${list | upper}", "${number | join}"])
def test_value_of_the_wrong_kind(source: str) -> None:
    """A list or mapping does not become text by accident, and the message holds none of it."""
    with pytest.raises(TemplateProblem) as caught:
        compile_template(source).render(VALUES)
    assert caught.value.code == "E314"
    assert "2026" not in str(caught.value)


def test_values_are_never_rendered_again() -> None:
    """A value with a template in it arrives as it is."""
    assert compile_template("${api_key}").render({"api_key": "${password} {{7*7}}"}) == "${password} {{7*7}}"
    fallback = compile_template("${missing or api_key | trim}")
    assert fallback.render({"api_key": "${user_id}"}) == "${user_id}"


@given(st.text(max_size=40))
def test_any_text_value_arrives_unchanged(value: str) -> None:
    """Whatever the value, it stands in the text exactly as it is."""
    assert compile_template("<${api_key}>").render({"api_key": value}) == f"<{value}>"


@given(st.text(max_size=60))
def test_any_source_compiles_or_is_a_problem(source: str) -> None:
    """No text makes the compiler fail in any other way than by a TemplateProblem."""
    for text in (source, "${" + source + "}"):
        try:
            template = compile_template(text)
        except TemplateProblem as problem:
            assert 0 <= problem.offset <= len(text)  # noqa: PT017
        else:
            assert template.source == text


@pytest.mark.parametrize(
    ("source", "code", "offset"),
    [
        ("ab ${api_key", "E307", 3),
        ("${api_key} ${'x}", "E307", 11),
        ("ab ${ ''.__class__ }", "E308", 3),
        ("ab ${HOME}", "E311", 5),
        ("ab ${ x | default(HOME) }", "E311", 18),
        ("ab ${ 'HOME' if HOME else x }", "E311", 16),
        ("${" + "a" * 20_000 + "}", "E315", 0),
        ("${" + "a or " * 400 + "a}", "E308", 0),
    ],
)
def test_refused_at_its_place(source: str, code: str, offset: int) -> None:
    """A refusal carries its code and where in the text it stands."""
    with pytest.raises(TemplateProblem) as caught:
        compile_template(source)
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_names_and_optional_names() -> None:
    """A template lists what it uses in order, and which of that may be missing."""
    template = compile_template(
        '${b} ${a.c | default("x")} ${d or e} ${f if g else h} ${i | hmac_sha1(j)} ${d}'
    )
    assert template.names == ("b", "a.c", "d", "e", "f", "g", "h", "i", "j")
    assert template.optional_names == {"a.c", "f", "g", "h"}
    assert template.source[template.offset_of("a.c") :].startswith("a.c")
    assert template.source[template.offset_of("j") :].startswith("j)")


def test_environment_is_read_once_and_never_parsed() -> None:
    """An environment value is a constant of the template, whatever it holds."""
    environ = {"KEY": "sekret ${OTHER} ${api_key}", "OTHER": "no"}
    template = compile_template("k=${KEY}&u=${user_id}", environ, allow_env=True)
    environ["KEY"] = "changed"
    assert template.render(VALUES) == "k=sekret ${OTHER} ${api_key}&u=user-1"
    assert template.names == ("user_id",)
    assert template.mask(VALUES, ()) == "k=***&u=user-1"
    assert "sekret" not in repr(template) + str(template) + template.source


def test_environment_text_is_a_constant() -> None:
    """Text from the environment is not a template, and shows as stars."""
    template = compile_template(EnvironmentText("sekret ${api_key}"))
    assert template.is_constant
    assert template.is_hidden
    assert template.render({}) == "sekret ${api_key}"
    assert type(template.render({})) is str
    assert template.mask({}, ()) == template.source == "***"
    assert "sekret" not in repr(template)


def test_unset_environment() -> None:
    """An unset environment variable is a problem unless something stands in for it."""
    with pytest.raises(TemplateProblem) as caught:
        compile_template("Bearer ${NANGO_KEY}", {}, allow_env=True)
    assert (caught.value.code, caught.value.offset) == ("E310", 9)
    assert compile_template('${NANGO_KEY | default("d")}', {}, allow_env=True).render({}) == "d"
    assert compile_template("${NANGO_KEY or user_id}", {}, allow_env=True).render(VALUES) == "user-1"


@pytest.mark.parametrize(
    ("source", "masked"),
    [
        ("Bearer ${api_key}", "Bearer ***"),
        ("${api_key | base64} ${user_id}", "*** user-1"),
        ("${user_id | hmac_sha256(api_key)}", "***"),
        ('${"a" if api_key == "pk_1" else "b"}', "***"),
        ("${additional_config.revision or api_key}", "***"),
        ("${raw.team.id}", "***"),
        ("${user_id | default(KEY)}", "***"),
        ("${user_id | upper}", "USER-1"),
    ],
)
def test_masked_text(source: str, masked: str) -> None:
    """Whatever a secret or an environment value takes part in is shown as stars."""
    template = compile_template(source, {"KEY": "sekret"}, allow_env=True)
    assert template.mask(VALUES, {"api_key", "raw"}) == masked


def test_secret_values_are_opened_only_in_the_text() -> None:
    """A Secret renders as its value and masks like any secret."""
    template = compile_template("Bearer ${api_key} ${api_key | upper}")
    assert template.render({"api_key": Secret("abc")}) == "Bearer abc ABC"


def test_output_is_capped() -> None:
    """A rendered text over 64 KiB is refused."""
    template = compile_template("${api_key}${api_key}")
    with pytest.raises(TemplateProblem, match="65536"):
        template.render({"api_key": "x" * 40_000})
    with pytest.raises(TemplateProblem, match="65536"):
        template.render_parts({"api_key": "x" * 40_000})


def test_half_a_surrogate_pair_is_a_problem_without_the_value() -> None:
    """A value that UTF-8 cannot hold is refused where bytes are needed, and no cause keeps it."""
    with pytest.raises(TemplateProblem) as caught:
        compile_template("${api_key | sha256}").render({"api_key": "sekret\ud800"})
    assert caught.value.__context__ is None
    assert "sekret" not in str(caught.value)


def test_frozen_mappings_work() -> None:
    """Read-only mappings and tuples, as connections keep them, are values like any other."""
    value = MappingProxyType({"a": (1, MappingProxyType({"b": Secret("c")}))})
    assert json.loads(compile_template("${x | tojson}").render({"x": value})) == {"a": [1, {"b": "c"}]}


def test_not_a_number_is_refused() -> None:
    """Numbers that JSON does not know never reach a request."""
    for source in ("${x}", "${x | tojson}"):
        with pytest.raises(TemplateProblem):
            compile_template(source).render({"x": float("nan")})


def test_template_cannot_be_changed() -> None:
    """A compiled template is frozen."""
    template = compile_template("Bearer ${api_key}")
    with pytest.raises(AttributeError):
        template.source = "x"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        template._pieces[0] = "x"  # type: ignore[index]


EXPRESSIONS = [
    'a | default("x")',
    "a | lower",
    'a or "b" | upper',
    'a | hmac_sha256("key")',
    "a | default(1)",
    'a.b if c == "d" else e',
    "a if not b else c",
    "a if b is defined else c | default(2.5)",
    '"${"',
]


def test_names_and_cached_expressions_need_no_jinja() -> None:
    """Names compile without Jinja, and so do expressions whose trees another process parsed."""
    texts = [f"${{{expression}}}" for expression in EXPRESSIONS]
    variables = {"a": "A", "b": "B", "c": "d", "e": "E"}
    rendered = [compile_template(text).render(variables) for text in texts[:5]]
    program = (
        "import sys, json; from nango_py.config.template.compiler import compile_template as c;"
        "from nango_py.config.template.parser import load_trees;"
        "assert c('Bearer ${a.b}').render({'a': {'b': 'x'}}) == 'Bearer x';"
        "trees, texts, variables = map(json.loads, sys.argv[1:]);"
        "[load_trees(*pair) for pair in zip(texts, trees)];"
        "templates = [c(text) for text in texts];"
        "print(json.dumps([template.render(variables) for template in templates[:5]]));"
        "assert 'jinja2' not in sys.modules;"
        "c('${a | default(3)}'); assert 'jinja2' in sys.modules"
    )
    for text in texts:
        compile_template(text)
    arguments = [json.dumps(value) for value in ([dump_trees(text) for text in texts], texts, variables)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == rendered


def test_rendering_a_name_is_cheap() -> None:
    """A header with one name costs microseconds: far less than a hash of its text a few times over."""
    template = compile_template("Bearer ${access_token}")
    variables = {"access_token": "token_example_1234"}
    seconds = min(timeit.repeat(lambda: template.render(variables), number=2000, repeat=5)) / 2000
    assert seconds < 20e-6
