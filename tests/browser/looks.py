"""What can be measured of how a page looks and how it can be operated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

_LOOKS = Path(__file__).with_suffix(".js").read_text()


def contrasts(page: Page) -> list[dict[str, Any]]:
    """The contrast of each text that is shown: `what`, `ratio`, and the `least` of WCAG 2.2, 1.4.3."""
    return _measured(page, "looks.contrasts()")


def too_faint(page: Page) -> list[dict[str, Any]]:
    """The texts whose contrast is too low."""
    return [text for text in contrasts(page) if text["ratio"] < text["least"]]


def sideways_pixels(page: Page) -> int:
    """How far the page can be scrolled sideways."""
    pixels: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return pixels


def small_targets(page: Page, least: int = 44) -> list[dict[str, Any]]:
    """The controls that are too small for a finger, in CSS pixels; links inside text are not among them."""
    return _measured(page, f"looks.smallTargets({least})")


def unlabelled(page: Page) -> list[str]:
    """What somebody who hears the page would miss: names, languages, headings, and what ids refer to."""
    return _measured(page, "looks.unlabelled()")


def _measured(page: Page, expression: str) -> list[Any]:
    found: list[Any] = page.evaluate(f"(() => {{ const looks = {_LOOKS}; return {expression}; }})()")
    return found
