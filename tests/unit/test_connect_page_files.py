"""What the files of the connect page may not do, whatever data they are given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nango_py

STATIC = Path(nango_py.__file__).parent / "server" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc"
    r"|\beval\(|new Function|javascript:|\.cssText|setAttribute\(\s*[\"'](?:style|on)"
    r"|set(?:Timeout|Interval)\(\s*[\"'`]"
)
"""What turns a text into markup, code or style."""

ELSEWHERE = re.compile(r"""(?:src|href|url|import|from|@import)\s*[=(]?\s*["']?(?:https?:)?//""")
"""What fetches from another place."""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_turns_text_into_markup_or_code(path: Path) -> None:
    """Data becomes text nodes and properties and is never parsed or evaluated."""
    assert not SINKS.search(path.read_text())


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_no_file_refers_to_another_server(path: Path) -> None:
    """No file refers to a CDN, a font or an image on another server."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith((" *", "<svg xmlns="))]
    assert not [line for line in lines if ELSEWHERE.search(line)]


@pytest.mark.parametrize(
    "planted", ['a.innerHTML = "x"', "eval(x)", 'e.setAttribute("onclick", x)', 'setTimeout("x()", 1)']
)
def test_the_search_for_sinks_finds_one(planted: str) -> None:
    """The control: a planted sink is found."""
    assert SINKS.search(planted)


@pytest.mark.parametrize(
    "planted", ['<img src="https://x.test/a">', "url(//x.test/f)", 'import "https://x/y.js"']
)
def test_the_search_for_servers_finds_one(planted: str) -> None:
    """The control: a planted URL is found."""
    assert ELSEWHERE.search(planted)


def test_the_page_has_no_inline_scripts_or_styles() -> None:
    """The policy forbids them, so each script and style is a separate file."""
    page = (STATIC / "connect.html").read_text()
    assert re.findall(r"<script(.*?)>(.*?)</script>", page) == [
        (' type="module" src="static/connect.js"', "")
    ]
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (STATIC.parent / name).is_file(), name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_imported_file_exists(path: Path) -> None:
    """A missing module would leave the page empty."""
    for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
        assert (STATIC / name).is_file()


def test_results_are_posted_to_one_origin_only() -> None:
    """No message is posted to any origin that happens to listen."""
    told = [line for path in SCRIPTS for line in path.read_text().splitlines() if "postMessage(" in line]
    assert len(told) == 4
    assert all(re.search(r", (origin|session\.origin|this\.origin)\);$", line) for line in told)
    assert not [line for line in told if '"*"' in line]


def test_the_script_for_other_pages_is_small() -> None:
    """It is loaded by pages that are not ours."""
    assert len((STATIC / "nango-connect.js").read_bytes()) <= 4608
