"""The docs are complete: they mention everything public, tables match the code, and links have targets."""

from __future__ import annotations

import inspect
import re
import runpy
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import nango_py
from nango_py import Nango, errors
from nango_py.cli.root import nango as command_line
from nango_py.config.schema.format import definitions
from nango_py.config.schema.publish import blueprint_schema, integrations_schema
from nango_py.engine.events import KINDS
from nango_py.registry import AUTH_MODES, PAGINATORS
from nango_py.sandbox.faults import KINDS as FAULTS
from nango_py.transfer.nango.credential_fields import TYPES
from tests.support.run_docs import HOW_TO, PAGES, ROOT, TEXTS, blocks

if TYPE_CHECKING:
    from pathlib import Path

READ = "\n".join(page.read_text() for page in PAGES)


def command_names(command: Any = command_line, above: str = "nango") -> list[str]:
    """The full names of all commands that are not groups."""
    below = getattr(command, "commands", None)
    if below is None:
        return [above]
    return [name for word, each in below.items() for name in command_names(each, f"{above} {word}")]


def schema_keys(node: Any) -> set[str]:
    """Every property that a schema names."""
    if isinstance(node, list):
        return set().union(*map(schema_keys, node))
    if not isinstance(node, dict):
        return set()
    own = set(node["properties"]) if isinstance(node.get("properties"), dict) else set()
    return own.union(*(schema_keys(value) for value in node.values()))


UNSAID = {
    *("type", "properties", "required", "additionalProperties", "description", "default", "enum", "pattern"),
    *("minLength", "maxLength", "minimum", "maximum"),
}
"""Keys of JSON Schema itself, in `connection_config`."""


@pytest.mark.parametrize(
    "word",
    [
        *nango_py.__all__,
        *(f"`{name}`" for name in AUTH_MODES.names()),
        *(f"`{name}`" for name in PAGINATORS.names()),
        *command_names(),
        *(f"`{kind}`" for kind in KINDS),
        *(f"`{kind}`" for kind in sorted(FAULTS - {"status"})),
        *(name for name in inspect.signature(Nango.__init__).parameters if name != "self"),
    ],
)
def test_what_exists_is_mentioned(word: str) -> None:
    """The docs mention public names, arguments, auth modes, pagination kinds, commands, events and faults."""
    assert word in READ


def test_the_table_of_blueprints_is_up_to_date() -> None:
    """docs/reference/catalogue.md is the output of `python docs/generate_blueprints.py`."""
    generator = runpy.run_path(str(ROOT / "docs" / "generate_blueprints.py"))
    text = (ROOT / "docs" / "reference" / "catalogue.md").read_text()
    assert generator["page"]() == text
    for path in (ROOT / "blueprints").glob("*.yaml"):
        assert f"| `{path.stem.replace('.v', ':v')}` |" in text, path.name


def test_the_page_of_auth_modes_is_current() -> None:
    """docs/auth.md is the output of `python docs/generate_auth.py`."""
    generator = runpy.run_path(str(ROOT / "docs" / "generate_auth.py"))
    assert (ROOT / "docs" / "auth.md").read_text() == generator["page"]()


REFERENCE = runpy.run_path(str(ROOT / "docs" / "generate_reference.py"))


def test_the_reference_is_current() -> None:
    """docs/reference/blueprint.md is the output of `python docs/generate_reference.py`."""
    assert (ROOT / "docs" / "reference" / "blueprint.md").read_text() == REFERENCE["page"]()


def test_the_reference_has_every_key_with_its_meaning() -> None:
    """Every key of a blueprint has a row with a type, an example and a meaning."""
    keys = {
        row.path.rpartition(".")[2].removesuffix("[]").removesuffix(".NAME")
        for name in REFERENCE["section_names"]()
        for row in REFERENCE["rows_of"](name)
    }
    whole = definitions()
    assert {key for name in REFERENCE["section_names"]() for key in whole[name]["properties"]} <= keys
    rows = re.findall(r"^\| `[^|]*$|^\| `.*$", REFERENCE["page"](), re.MULTILINE)
    assert len(rows) > len(keys) > 200
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert all(cells[index] for index in (0, 1, 3, 4, 5)), row


def test_the_samples_of_the_reference_are_valid() -> None:
    """Values that no blueprint has fit their schema."""
    examples = REFERENCE["find_examples"]()
    for name in REFERENCE["section_names"]():
        for row in REFERENCE["rows_of"](name):
            if (name, row.path) not in examples:
                validator = jsonschema.Draft202012Validator({"$defs": definitions(), **row.schema})
                sample = REFERENCE["sample_of"](row)
                assert not list(validator.iter_errors(sample)), f"{name}: {row.path}: {sample}"


def test_every_key_of_the_files_is_mentioned() -> None:
    """The docs, with the reference, mention every key of blueprints and of integrations.yaml."""
    known = schema_keys(blueprint_schema()) | schema_keys(integrations_schema())
    text = f"{READ}\n{REFERENCE['page']()}"
    missing = {key for key in known - UNSAID if not re.search(rf"[`{{ .]{re.escape(key)}\b", text)}
    assert not missing


def test_the_error_tree_is_the_one_of_the_code() -> None:
    """The error tree in the docs is that of errors.py, and names every error class."""
    tree = next(block.text for block in blocks(ROOT / "docs" / "errors.md") if "NangoError" in block.text)
    drawn = inspect.cleandoc("\n" + (errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0])
    assert tree.strip() == drawn
    named = {line.split()[0]: len(line) - len(line.lstrip()) for line in tree.splitlines()}
    public = {name for name in nango_py.__all__ if name in vars(errors)}
    assert named.keys() == public
    for name in public:
        parents = [parent for parent in getattr(errors, name).__mro__[1:] if parent.__name__ in public]
        assert not parents or named[name] > named[parents[0].__name__], name


def test_the_table_of_codes_covers_the_codes_of_the_code() -> None:
    """docs/errors.md lists exactly the error codes of the package."""
    sources = "\n".join(path.read_text() for path in (ROOT / "nango_py").rglob("*.py"))
    known = set(re.findall(r"\bE\d{3}\b", sources))
    rows = re.findall(r"^- (E\d{3}[^:]*):", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert known == codes_of(", ".join(rows))


def test_the_table_of_nangos_types_is_the_one_of_the_code() -> None:
    """The table in docs/moving.md maps each credential type of Nango to the auth modes of the code."""
    table = (ROOT / "docs" / "moving.md").read_text().partition("| `type` there |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    said = {
        kind: {mode for mode in re.findall(r"`(\w+)`", modes) if mode in AUTH_MODES.names()}
        for kinds, modes in rows
        for kind in re.findall(r"`(\w+)`", kinds)
    }
    assert said == {kind: set(modes) for kind, modes in TYPES.items()}


def codes_of(text: str) -> set[str]:
    """The single codes of `E001 to E003, E007`."""
    ranges = re.findall(r"E(\d{3})(?: to E(\d{3}))?", text)
    return {f"E{number:03}" for first, last in ranges for number in range(int(first), int(last or first) + 1)}


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file or heading of this project has a target."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, fragment = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_file(), target
        assert not fragment or fragment in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_can_be_found_from_the_readme(page: Path) -> None:
    """The README links every page, or the page that lists the how-to pages."""
    readme = (ROOT / "README.md").read_text()
    if page in HOW_TO and page.name != "index.md":
        assert f"({page.name})" in (page.parent / "index.md").read_text()
    else:
        name = page.relative_to(ROOT).as_posix()
        assert name == "README.md" or f"({name})" in readme


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_prose_is_wrapped(page: Path) -> None:
    """Lines outside code and tables have at most 120 characters, unless they are an image or a link."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if " " in line.strip() and not line.startswith(("|", "!["))]
    assert not [line for line in lines if len(line) > 120]
