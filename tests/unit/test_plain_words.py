"""A proof-reader: phrases that an English-speaking engineer stumbles over do not come back.

It reads the strings and comments of the package, the docs, the connect page and the blueprints, and the
docstrings and comments of tests and tools, whose other strings are data. Names in code and text in backticks
are not prose. A new phrase goes into PHRASES with the words to use instead.
"""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]

LINKS = r"(?:that|which|and|or|but|for|in|on|if|is|are|from|to)\b"
"""Words after which `of its own` stands alone; `of its own keys` is plain."""

PHRASES = {
    r"(?<!there\s)\bis no (?!longer\b|more than\b)[a-z]+": "is not a ...",
    r"(?<!there\s)\b(is|are) (?-i:none)\b(?! of\b)": "does not exist, is missing",
    r"\btold\b|\btells?\b": "says, reports, passes",
    r"\bwhoever\b|\bwho asks\b|\bnobody\b": "the caller, the client, no caller",
    r"\bso (many|long)\b(?! as)": "a number: n, this many, n seconds",
    r"\bmeanwhile\b": "in between, in the meantime, or nothing",
    rf"\bof (its|their|one's) own\b(?! (?!{LINKS})[a-z])": "separate, own, or nothing",
    r", where it\b": "if it",
    r"\bfor good\b": "permanently",
    r"\banswer(s|ed|ing)?\b": "response, responds, returns",
    r"\brenew(s|al|als|ed|ing)?\b": "refresh (tokens), extend (leases)",
    r"\b(is|are|was|were) away\b": "is unreachable",
    r"\bon (its|their) way\b": "in flight",
    r"\bnothing is known\b|\bof which nothing\b": "unknown, unused",
    r"\b(is|are|be) had\b": "get, obtain",
    r"\banew\b": "again",
    r"\bdear\b": "expensive",
    r"\b(is|are|was|were) laid\b": "is merged, is written",
    r"\ba try\b": "an attempt",
    r"\bwhat (stands|comes) (here|there|in)\b": "the content, the value",
    r"\bjust so\b": "in the same way, unchanged",
}
"""Each phrase as a regular expression, and what to write instead."""

GAP = r"[\s#*/]+"
"""What is between two words of prose, also across line ends."""

PATTERNS = {
    re.compile(phrase.replace(" ", GAP), re.IGNORECASE): instead for phrase, instead in PHRASES.items()
}

ANY = re.compile(
    rf"\b(?:{'|'.join(phrase.removeprefix(', ').replace(' ', GAP) for phrase in PHRASES)})", re.IGNORECASE
)
"""Finds at least what PATTERNS find, much faster: it tries its phrases only where a word begins or ends."""

ALLOWED = {
    r"answers? .{0,25}challenge": "RFC 9110 speaks of answering a challenge",
    r"tell its developers": "what a user should do",
    r"(lease|certificate).{0,40}renew|renew.{0,40}(lease|certificate)": "leases and certificates are renewed",
    r"can tell (whether|if)": "can find out",
    r"answers? to (a|the) question": "given by a person",
    r"submitted_at.{0,40}answers": "the key of what people filled in, in Typeform's responses",
}
"""Where a phrase is right, and why."""

WHITESPACE = re.compile(r"\s+")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|https?://\S+", re.DOTALL)
SCRIPT_PROSE = re.compile(r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`|>[^<{]+<", re.DOTALL)


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """The prose of a file that may have one of the phrases, piece by piece, each with its first line."""
    text = path.read_text("utf-8")
    if not ANY.search(text):
        return
    if path.suffix == ".py":
        has_data = any(path.is_relative_to(ROOT / folder) for folder in TOOLS)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            is_string = tokenize.tok_name[token.type] in PYTHON_STRINGS
            is_prose = is_string and (token.string.startswith('"""') or not has_data)
            if is_prose or token.type == tokenize.COMMENT:
                yield token.start[0], CODE.sub(blank, token.string)
    elif path.suffix in {".js", ".html"}:
        for found in SCRIPT_PROSE.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, found[0]
    else:
        yield 1, CODE.sub(blank, text)


PYTHON_STRINGS = {"STRING", "FSTRING_MIDDLE"}
TOOLS = ("tests", "benchmarks", "tools")
"""Folders in whose Python files only docstrings and comments are prose."""


def blank(found: re.Match[str]) -> str:
    """As many lines without a word."""
    return "\n" * found[0].count("\n") or " "


def findings(path: Path) -> list[str]:
    """Each phrase of a file that is not plain, with its line and what to write instead."""
    found = []
    for line, text in prose_of(path):
        if not ANY.search(text):
            continue
        for phrase, instead in PATTERNS.items():
            for match in phrase.finditer(text):
                around = WHITESPACE.sub(" ", text[max(0, match.start() - 40) : match.end() + 40])
                if not any(re.search(each, around, re.IGNORECASE) for each in ALLOWED):
                    number = line + text.count("\n", 0, match.start())
                    words = WHITESPACE.sub(" ", match[0])
                    found.append(f"{path.name}:{number}: {words!r} in {around!r}; write: {instead}")
    return found


def files() -> list[str]:
    """Everything that is proof-read, relative to the root."""
    patterns = (
        "nango_py/**/*.py",
        "nango_py/server/static/*.js",
        "nango_py/server/static/*.html",
        "blueprints/*.yaml",
        "docs/*.md",
        "docs/how-to/*.md",
        "examples/*.md",
        "examples/**/*.py",
        *(f"{folder}/**/*.py" for folder in TOOLS),
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    )
    found = {path for pattern in patterns for path in ROOT.glob(pattern)} - {Path(__file__)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@pytest.mark.parametrize("kind", ["nango_py", "blueprints", "docs", "examples", *TOOLS, ""])
def test_files_are_written_in_plain_words(kind: str) -> None:
    """No phrase of the list is in the prose of a file of this folder."""
    names = [name for name in files() if name.rpartition("/")[0].split("/")[0] == kind]
    assert names
    found = [each for name in names for each in findings(ROOT / name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "a.py",
            "\"\"\"Who asks is told.\"\"\"\nx = '''it is no\n    number'''\n# the API is away\n",
            [1, 1, 2, 4],
        ),
        ("a.py", 'answer = told["renew_at"]  # `answer` is a name\n', []),
        ("a.py", '"""The mode answers a Digest challenge."""\n', []),
        ("a.md", "one\n\n```\nwhoever\n```\n\nso long\n", [7]),
        ("a.js", 'const told = 1;\nsay("nobody is\\there");\n', [2]),
        ("a.yaml", "gotchas:\n  - Renewed tokens.\n", [2]),
    ],
)
def test_the_proof_reader_reads_prose_only(name: str, text: str, lines: list[int], tmp_path: Path) -> None:
    """The control: strings, comments and paragraphs are read, names and code are not."""
    (tmp_path / name).write_text(text)
    assert [int(found.split(":")[1]) for found in findings(tmp_path / name)] == lines


def test_every_kind_of_file_is_read() -> None:
    """The control: the package, the page, the blueprints and the docs are among the files."""
    names = files()
    for part in (
        "nango_py/client.py",
        "static/connect.js",
        "blueprints/slack",
        "tests/conftest.py",
        "docs/security.md",
        "README.md",
    ):
        assert any(part in name for name in names), part
