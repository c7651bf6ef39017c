"""The pages of the documentation site that are put together from the files of the project."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from nango_py._version import SOURCE_URL
from nango_py.config.catalogue import Catalogue
from nango_py.errors import Position

ROOT = Path(__file__).parents[2]
PAGES = runpy.run_path(str(ROOT / "docs" / "site" / "blueprint_pages.py"))
BUILD = runpy.run_path(str(ROOT / "docs" / "build_site.py"))
AT = Position("site")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The shipped blueprints."""
    return Catalogue([("shipped", ROOT / "blueprints")])


def test_a_page_has_the_facts_of_its_blueprint(catalogue: Catalogue) -> None:
    """It shows how to use the API, credentials, coverage, base URL, limits, gotchas and sources with days."""
    text = PAGES["page"](PAGES["Api"]((catalogue.find("stripe:v1", AT),)))
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "How to use it", "Credentials", "Coverage", "Base URL", "Limits", "Gotchas", "Sources",
    ]  # fmt: skip
    assert "extends_blueprint: stripe:v1" in text
    assert "`https://api.stripe.com/v1/`" in text
    assert "| revocation | no |" in text
    assert "Last updated: 2026-" in text


def test_a_page_has_every_login_and_names_its_secrets(catalogue: Catalogue) -> None:
    """The entry has names of environment variables; the other logins are named with their fields."""
    logins = [catalogue.find("linear:v0", AT, login=name) for name in ("oauth", "api_key", "app")]
    text = PAGES["page"](PAGES["Api"](tuple(logins)))
    assert "oauth_client_secret: ${LINEAR_CLIENT_SECRET}" in text
    assert "`api_key`, `app`" in text
    assert "Personal API key" in text


def test_text_of_a_file_is_shown_as_it_is(tmp_path: Path) -> None:
    """Markup in a title, a comment or a gotcha is escaped on its page and in the overview."""
    markup = "<script>*a* [b](c) `d` {e} | f"
    (tmp_path / "acme.v1.yaml").write_text(
        f"name: acme\nversion: v1\ntitle: '{markup}'\ncomment: '{markup}'\ngotchas: ['{markup}']\n"
        "auth: {auth_mode: NONE}\nrequests: {base_url: 'https://api.acme.test/'}\n"
    )
    apis = PAGES["load"](Catalogue([("local", tmp_path)]))
    page, overview = PAGES["page"](apis[0]), PAGES["overview"](apis)
    assert "<script>" not in page.replace("\\<script\\>", "")
    assert page.count("\\<script\\>\\*a\\* \\[b\\](c) \\`d\\` \\{e\\} \\| f") == 3
    assert "<script>" not in overview


def test_each_error_code_has_an_anchor() -> None:
    """A range of codes has an anchor for each one, and links to top pages lead to their place on the site."""
    text = BUILD["adapt"]("- E001 to E003, E007: YAML\n\n[a](../CONTRIBUTING.md#x) [b](README.md#y)\n")
    assert [f'id="E{number:03}"' in text for number in range(1, 8)] == [True] * 3 + [False] * 3 + [True]
    assert "[a](contributing.md#x) [b](index.md#y)" in text


def test_a_block_has_the_name_of_its_file() -> None:
    """The title of a block is shown above it, except that of output."""
    text = BUILD["adapt"]("```yaml no-run title=a/b.yaml\na: 1\n```\n\n```text title=output\n1\n```\n")
    assert text.startswith("```{code-block} yaml\n:caption: a/b.yaml\n\na: 1\n```\n")
    assert "```text title=output\n1\n" in text


def test_links_of_how_to_pages_lead_to_the_site_or_to_the_file() -> None:
    """A page in a folder links top pages and the catalogue one level up, and examples where the source is."""
    text = BUILD["adapt"](
        "[a](../../CONTRIBUTING.md#x) [b](../reference/catalogue.md) [c](../../examples/docker/compose.yaml)"
    )
    assert "[a](../contributing.md#x) [b](../catalogue/index.md)" in text
    assert f"[c]({SOURCE_URL}/examples/docker/compose.yaml)" in text
