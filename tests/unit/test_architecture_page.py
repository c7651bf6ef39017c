"""docs/architecture.md names files that exist, and its picture is drawn from the code of today."""

from __future__ import annotations

import functools
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
DRAWING = runpy.run_path(str(ROOT / "docs" / "images" / "draw_architecture.py"))
PICTURE = functools.cache(DRAWING["picture"])
NAMED = sorted(set(re.findall(r"`([\w/.-]+(?:\.(?:py|lua|json)|/))`", PAGE.read_text())) - {"nango_py/"})


@pytest.mark.parametrize("name", NAMED)
def test_each_file_of_the_page_exists(name: str) -> None:
    """Files are named below nango_py, or from the root of the repository."""
    assert (ROOT / "nango_py" / name).exists() or (ROOT / name).exists()


def test_the_page_names_files() -> None:
    """The control: the names are found."""
    assert len(NAMED) > 40
    assert "engine/call.py" in NAMED


def test_each_path_has_ten_steps() -> None:
    """A call, a token refresh, a login and a booking have ten lines each."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    steps = [len(re.findall(r"^\d+\. ", section, re.MULTILINE)) for section in sections]
    assert steps == [10, 10, 10, 10, 0, 0]


def test_the_picture_is_current() -> None:
    """The picture is what `python docs/images/draw_architecture.py` draws now."""
    assert (ROOT / "docs" / "images" / "architecture.svg").read_text("utf-8") == PICTURE()


def test_the_picture_shows_every_room_and_import() -> None:
    """The control: every room is a box with a label, and an import of the code is a dot."""
    tree = ET.fromstring(PICTURE())  # noqa: S314 - our own
    words = {"".join(element.itertext()) for element in tree.iter()}
    rooms = [room for layer in DRAWING["layers"]() for room in layer]
    assert {"engine", "limits", "base"} <= set(rooms) <= words
    found = DRAWING["imports"](rooms)
    assert "config" in found["engine"]
    dots = [element for element in tree.iter() if element.tag.endswith("circle")]
    assert len(dots) == sum(map(len, found.values()))
