"""Files to values: YAML 1.2 types, places, and the limits that keep hostile files harmless."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.config.yaml.document import document_from_python, load_document, parse_document
from nango_py.config.yaml.merge import settings_at
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from pathlib import Path


def problems_of(text: str | bytes) -> list[str]:
    """The problems of a text as `line:column code`."""
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "i")
    return [f"{found.position.line}:{found.position.column} {found.code}" for found in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("012", "012"),
        ("1_000", "1_000"),
        ("2022-08-16", "2022-08-16"),
        ("12:30:00", "12:30:00"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("+4", 4),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".", "."),
        ("-", ["x"]),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("!!float 12", 12),
        (".inf", math.inf),
        ("00.5", "00.5"),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(text: str, value: Any) -> None:
    """Dates, `no`, `on`, leading zeros and underscores stay text; numbers, true and null do not."""
    source = "v:\n  - x" if text == "-" else f"v: {text}"
    read = parse_document(source, "i").data["v"]
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number_until_the_schema_refuses_it() -> None:
    """`.nan` is read as YAML says, so that the schema can name the key that holds it."""
    assert math.isnan(parse_document("v: .nan", "i").data["v"])


def test_every_value_and_key_has_its_place() -> None:
    """Values, keys and list items are found by path, missing ones at their nearest parent."""
    document = parse_document("# first\na:\n  b: [x, yy]\n  'c d': \"q\"\n", "i")
    assert document.position(("a", "b", 1)) == Position("i", 3, 10)
    assert document.key_position(("a", "b")) == Position("i", 3, 3)
    assert document.key_position(("a", "b", 1)) == Position("i", 3, 10)
    assert document.position(("a", "c d")) == Position("i", 4, 10)
    assert document.key_position(("a", "c d")) == Position("i", 4, 3)
    assert document.position(("a", "missing", "deeper")) == Position("i", 3, 3)
    assert document.key_position(("a", "missing")) == Position("i", 2, 1)
    assert document.position() == Position("i", 2, 1)
    assert document.has_plain_key(("a", "b"))
    assert not document.has_plain_key(("a", "c d"))
    assert not document.has_plain_key(("x", "c d"))


def test_source_text_is_what_was_written() -> None:
    """A number's own spelling survives, so that a message can say `1.10`; quoted text has none."""
    document = parse_document('v: 1.10\nl: [007, 1.0]\nq: "1.10"\n', "i")
    assert document.source_text(("v",)) == "1.10"
    assert document.source_text(("l", 1)) == "1.0"
    assert document.source_text(("q",)) == ""
    assert document.source_text(("none", 3)) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  b: 1\n\tc: 2\n", "3:1 E001"),
        ("a:\n  b: 1\n  \tc: 2\n", "3:3 E001"),
        ('a:\n  b: 1\n  c: x\n  longer: "x\n  d: 1\n', "4:11 E002"),
        ('a:\n  b: "x\n  c: "y"\n', "2:6 E002"),
        ("a:\n  b: 'it's'\n", "2:10 E002"),
        ("a: b: c\n", "1:5 E002"),
        ("a: [1,\nb: 2", "3:1 E002"),
        ("a: *x\n", "1:4 E002"),
        ("a: 1\n---\nb: 2\n", "2:1 E003"),
        (b"a:\n  b: \xe9t\xe9\n", "2:6 E004"),
        (b"\xff\xfea\x00:\x00", "1:1 E004"),
        ("a: x\0y", "1:5 E004"),
        ("a: \ud800", "1:4 E004"),
        ("!!python/object/apply:os.system ['exit 3']", "1:1 E005"),
        ("a: !!set {b}", "1:4 E005"),
        ("a: !local b", "1:4 E005"),
        ("a: !!int b", "1:4 E005"),
        ("a: &a [*a]", "1:4 E009"),
        ("a: &a {b: {c: *a}}", "1:4 E009"),
        ("b: 1\na: 2\nb: 3\n", "3:1 E105"),
        ("true: 1", "1:1 E207"),
        ("a:\n  12: 1", "2:3 E207"),
        ("1.5: 1", "1:1 E207"),
        ("~: 1", "1:1 E207"),
        ("[a]: 1", "1:1 E207"),
        ("a: &x b\n*x : 1", "2:1 E207"),
        ("<<: {a: 1}", "1:1 E011"),
        ("a\u202eb: 1", "1:1 E012"),
        ("a: 12345678901234567890", "1:4 E401"),
        ("a: " + "9" * 5000, "1:4 E401"),
        ("a: 0x" + "f" * 5000, "1:4 E401"),
    ],
)
def test_each_wrong_text_has_its_code_and_place(text: str | bytes, expected: str) -> None:
    """A text that is not plain YAML, or says a thing twice, is refused where it does so."""
    assert problems_of(text) == [expected]


def test_local_problems_are_all_found_at_once() -> None:
    """Repeated, non-text and merge keys hide neither one another nor the open quote below."""
    found = problems_of("a: 1\na: 2\ntrue: 3\n<<: {b: 1}\nc: 'x")
    assert found == ["2:1 E105", "3:1 E207", "4:1 E011", "5:4 E002"]


def test_problems_can_be_collected_with_a_document() -> None:
    """With a list for them, local problems are noted and the first of two values is kept."""
    problems: list[Any] = []
    document = parse_document("a: 1\na: 2\n", "i", problems)
    assert document.data == {"a": 1}
    assert str(problems[0]) == 'i:2:1: error[E105]: "a" already defined at i:1:1; rename or remove one'


@pytest.mark.parametrize(
    ("opening", "place"), [("[", "1:51 E007"), ("{a: ", "1:201 E007"), ("- ", "1:101 E007")]
)
def test_deep_input_is_refused_before_it_is_composed(opening: str, place: str) -> None:
    """200,000 open brackets are an error at level 51: no crash of libyaml, no RecursionError."""
    script = (
        "import sys; from nango_py.config.yaml.document import parse_document, ConfigError\n"
        "try: parse_document(sys.argv[1] * 200_000, 'i')\n"
        "except ConfigError as error: found = error.problems[0]\n"
        "print(f'{found.position.line}:{found.position.column} {found.code}')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, opening], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, place), ended.stderr


def test_fifty_levels_are_allowed() -> None:
    """The limit is a limit and not a fear of nesting."""
    assert parse_document("[" * 50 + "]" * 50, "i").data


def test_depth_is_counted_through_aliases() -> None:
    """Levels hidden behind anchors count as if written out."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]
    assert problems_of("\n".join(lines)) == ["50:12 E007"]


def test_an_alias_bomb_is_counted_and_never_expanded() -> None:
    """Nine levels of ten aliases are refused within a few megabytes, not after 10^9 values."""
    lines = ["a: &a [" + ",".join(["lol"] * 10) + "]"]
    lines += [
        f"{this}: &{this} [" + ",".join([f"*{last}"] * 10) + "]"
        for last, this in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    tracemalloc.start()
    assert [found.split()[1] for found in problems_of("\n".join(lines))] == ["E006"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000


def test_more_than_a_hundred_aliases_are_refused() -> None:
    """Aliases are counted one by one too."""
    assert problems_of("a: &a x\nb: [" + ", ".join(["*a"] * 101) + "]")[0].endswith("E006")
    assert len(parse_document("a: &a x\nb: [" + ", ".join(["*a"] * 100) + "]", "i").data["b"]) == 100


def test_a_merge_key_bomb_is_not_merged() -> None:
    """Merge keys are not merged: each is one problem."""
    base = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\n"
    found = problems_of(base + "\n".join(f"m{n}:\n  <<: *a" for n in range(90)))
    assert {code.split()[1] for code in found} == {"E011"}


def test_no_process_is_started_by_a_tag(tmp_path: Path) -> None:
    """A code tag is refused and its code does not run."""
    target = tmp_path / "made"
    assert problems_of(f"!!python/object/apply:os.mkdir ['{target}']") == ["1:1 E005"]
    assert not target.exists()


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Five megabytes are refused by size, a text of that size too."""
    file = tmp_path / "i.yaml"
    file.write_bytes(b"#" * 5_242_880)
    with pytest.raises(ConfigError) as caught:
        load_document(file, "i")
    assert str(caught.value) == "i: error[E008]: 5242880 bytes; limit is 1048576"
    assert problems_of("é" * 600_000) == ["0:0 E008"]


@pytest.mark.parametrize("make", ["folder", "missing", "fifo", "nul"])
def test_what_cannot_be_read_is_a_problem_of_the_file(tmp_path: Path, make: str) -> None:
    """A folder, a missing file, a pipe and an impossible name are E010, and nothing waits on them."""
    path = tmp_path / ("a\0b" if make == "nul" else "i.yaml")
    if make == "folder":
        path.mkdir()
    if make == "fifo":
        os.mkfifo(path)
    with pytest.raises(ConfigError) as caught:
        load_document(path)
    assert [(found.code, found.position) for found in caught.value.problems] == [
        ("E010", Position(str(path)))
    ]


def test_a_file_that_others_can_write_is_warned_of(tmp_path: Path) -> None:
    """Mode 0666 is a warning with the command that corrects it; 0644 gives no warning."""
    file = tmp_path / "i.yaml"
    file.write_text("a: 1")
    file.chmod(0o666)
    assert [str(found) for found in load_document(file, "i").warnings] == [
        "i: warning[W501]: other users can write this file; chmod 600"
    ]
    file.chmod(0o644)
    assert load_document(file).warnings == ()


def test_invisible_characters_are_warned_of_with_their_number() -> None:
    """Bidi marks and zero-width characters in values and comments are shown by number, at most ten."""
    document = parse_document("a: x\u200by # \u202e\n", "i")
    assert [str(found) for found in document.warnings] == [
        "i:1:5: warning[W502]: invisible character U+200B; the text may differ from what is displayed",
        "i:1:10: warning[W502]: invisible character U+202E; the text may differ from what is displayed",
    ]
    assert len(parse_document("a: " + "\u200b" * 50, "i").warnings) == 10
    assert parse_document("\ufeffa: é", "i").warnings == ()


def test_an_empty_text_is_an_empty_document() -> None:
    """Nothing, blanks and comments have no data, and stand at the first line."""
    for text in ("", "\n\n", "# only a comment\n"):
        document = parse_document(text, "i")
        assert document.data is None
        assert document.position(("a",)) == Position("i", 1, 1)


def test_settings_from_python_are_checked_the_same_way() -> None:
    """Mappings and tuples become dict and list; problems name the key path."""
    document = document_from_python({"integrations": {"a": {"list": (1, "x", None)}}})
    assert document.data == {"integrations": {"a": {"list": [1, "x", None]}}}
    assert (
        str(document.position(("integrations", "a", "list", 1))) == 'Nango(integrations=...)["a"]["list"][1]'
    )
    with pytest.raises(ConfigError) as caught:
        document_from_python({"integrations": {1: {}, "a": {"b": {1, 2}, "c": b"x"}}})
    expected = "expected text, a number, a list or a mapping"
    assert [str(found) for found in caught.value.problems] == [
        "Nango(integrations=...): error[E207]: keys are text, found a number as a key",
        f'Nango(integrations=...)["a"]["b"]: error[E201]: {expected}, found a set',
        f'Nango(integrations=...)["a"]["c"]: error[E201]: {expected}, found a bytes',
    ]


def test_settings_from_python_that_hold_themselves_are_refused() -> None:
    """A mapping inside itself is too deep, not an endless loop."""
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(ConfigError, match="E007"):
        document_from_python(loop)


def test_no_error_keeps_the_text_of_the_file() -> None:
    """The errors of the YAML library and of the decoder hold the file; ours have neither as context."""
    for text in ("a: 'pk_planted_secret", b"key: pk_planted_secret \xff", "a: pk_planted_secret: x"):
        with pytest.raises(ConfigError) as caught:
            parse_document(text, "i")
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        assert "planted" not in str(caught.value)


_VISIBLE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cn"])
_TEXT = st.text(_VISIBLE, max_size=40)
_NUMBER = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_is_read_as_json(value: Any) -> None:
    """JSON is YAML 1.2: any value that JSON can write is read back as it was."""
    assert parse_document(json.dumps(value, ensure_ascii=False), "i").data == value


@given(st.binary(max_size=200) | st.text("{}[]:,-?!&*|>%@`'\"# \t\nabc019.~<", max_size=60))
def test_any_bytes_are_a_document_or_a_config_error(text: bytes | str) -> None:
    """Nothing but ConfigError comes out of a text, and its problems have places in it."""
    problems: tuple[Problem, ...] = ()
    places: list[Position] = []
    try:
        document = parse_document(text, "i")
        places = [document.position(path) for path in settings_at(document).origins]
    except ConfigError as error:
        problems = error.problems
    assert places or problems
    assert all(place.line >= 1 for place in [*places, *(problem.position for problem in problems)])
