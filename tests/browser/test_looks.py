"""The controls of what is measured of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.looks import contrasts, sideways_pixels, small_targets, too_faint, unlabelled

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.elsewhere import Elsewhere


RATIOS = {
    "color: #000; background: #fff": 21.0,
    "color: #777; background: #fff": 4.48,
    "color: #767676; background: #fff": 4.54,
    "color: rgb(0 0 0 / 0.5); background: #fff": 4.0,
    "color: #fff; background: color-mix(in srgb, #000 100%, transparent 0%)": 21.0,
}


def test_contrast_is_measured_as_wcag_defines_it(page: Page, elsewhere: Elsewhere) -> None:
    """The ratios are those of known pairs, transparent colours included."""
    texts = "".join(f"<p style='{colors}'>text</p>" for colors in RATIOS)
    page.goto(elsewhere.page(f"<main>{texts}</main>"))
    found = [text["ratio"] for text in contrasts(page)]
    assert found == pytest.approx(list(RATIOS.values()), abs=0.02)
    assert len(too_faint(page)) == sum(ratio < 4.5 for ratio in RATIOS.values())


def test_a_page_that_is_hard_to_use_is_noticed(page: Page, elsewhere: Elsewhere) -> None:
    """Controls without names, tiny ones, and a page that is too wide are found."""
    page.goto(
        elsewhere.page(
            "<h2>Late</h2><button style='width: 20px'></button><input id=a><p id=a aria-describedby=none>"
            "<p style='width: 3000px'>wide</p>"
        )
    )
    assert sideways_pixels(page) > 1000
    assert [target["what"].split(".")[0] for target in small_targets(page)] == ["button", "input"]
    found = "\n".join(unlabelled(page))
    for problem in (
        "no name: <button",
        "no name: <input",
        "twice: #a",
        "names no element: none",
        "h2",
        "not one main",
    ):
        assert problem in found
