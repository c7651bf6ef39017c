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
def test_no_script_makes_markup_or_code_of_a_text(path: Path) -> None:
    """Data becomes text nodes and properties; nothing of it is ever parsed or run."""
    assert not SINKS.search(path.read_text())


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    """No file names another server: no CDN, no font, no picture."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith((" *", "<svg xmlns="))]
    assert not [line for line in lines if ELSEWHERE.search(line)]


@pytest.mark.parametrize(
    "planted", ['a.innerHTML = "x"', "eval(x)", 'e.setAttribute("onclick", x)', 'setTimeout("x()", 1)']
)
def test_the_search_would_find_a_sink(planted: str) -> None:
    """The control."""
    assert SINKS.search(planted)


@pytest.mark.parametrize(
    "planted", ['<img src="https://x.test/a">', "url(//x.test/f)", 'import "https://x/y.js"']
)
def test_the_search_would_find_another_server(planted: str) -> None:
    """The control."""
    assert ELSEWHERE.search(planted)


def test_the_page_holds_neither_scripts_nor_styles_of_its_own() -> None:
    """A strict policy forbids them: each script and style is a file beside the page."""
    page = (STATIC / "connect.html").read_text()
    assert re.findall(r"<script(.*?)>(.*?)</script>", page) == [
        (' type="module" src="static/connect.js"', "")
    ]
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (STATIC.parent / name).is_file(), name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_imported_file_is_there(path: Path) -> None:
    """A module that is missing would leave the page empty."""
    for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
        assert (STATIC / name).is_file()


def test_a_result_is_told_to_one_origin_only() -> None:
    """No message goes to whoever happens to listen."""
    told = [line for path in SCRIPTS for line in path.read_text().splitlines() if "postMessage(" in line]
    assert len(told) == 4
    assert all(re.search(r", (origin|session\.origin|this\.origin)\);$", line) for line in told)
    assert not [line for line in told if '"*"' in line]


def test_the_script_for_other_pages_stays_small() -> None:
    """It is loaded by pages that are not ours."""
    assert len((STATIC / "nango-connect.js").read_bytes()) <= 4608
