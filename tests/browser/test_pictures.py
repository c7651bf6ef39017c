"""The pictures of the docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def test_the_pictures_of_the_connect_page_can_be_taken_again(browser: Browser, tmp_path: Path) -> None:
    """The script in docs/images takes them again; the shipped ones are small, and each is used by a page."""
    assert browser.is_connected()
    subprocess.run([sys.executable, IMAGES / "draw_connect.py", tmp_path], check=True, timeout=100)
    drawn, shipped = ({path.name for path in folder.glob("*.png")} for folder in (tmp_path, IMAGES))
    assert drawn == shipped == {"connect-light.png", "connect-phone.png"}
    assert all(path.stat().st_size < 120_000 for path in IMAGES.glob("*.png"))
