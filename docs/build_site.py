"""Builds the documentation site into build/site: `python docs/build_site.py`. Warnings are errors.

The pages of the site are those of docs/, a page for each blueprint, and the Python API from its docstrings.
They are put together in build/site-source, so that nothing generated is beside the written pages. The extra
`docs` is needed. `--check` reads the pages and follows their links without writing HTML, in a third of the
time. `--external` also asks every other site that is linked whether the page exists.
"""

from __future__ import annotations

import argparse
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from nango_py._version import SOURCE_URL
from nango_py.config.catalogue import Catalogue

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SITE = DOCS / "site"
SOURCE = ROOT / "build" / "site-source"
TARGET = ROOT / "build" / "site"
TOP_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
API_HEAD = """\
# Python API

Everything is imported from `nango_py`. `nango_py.testing` has helpers for tests.

"""


def main(arguments: list[str] | None = None) -> int:
    """Collect the pages and build the site; the exit code of Sphinx."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--check", dest="builder", action="store_const", const="dummy", default="html")
    kinds.add_argument("--external", dest="builder", action="store_const", const="linkcheck")
    builder = parser.parse_args(arguments).builder
    collect()
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-j", "auto", "-b", builder]
    target = TARGET if builder == "html" else ROOT / "build" / f"site-{builder}"
    done = subprocess.run([sys.executable, *command, str(SOURCE), str(target)], check=False)  # noqa: S603
    return done.returncode


def collect() -> None:
    """Write the sources of the site into build/site-source."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(SITE, SOURCE, ignore=shutil.ignore_patterns("*.pyc", "__pycache__"))
    for folder in ("images", "plots", "reference", "how-to"):
        shutil.copytree(DOCS / folder, SOURCE / folder, ignore=shutil.ignore_patterns("*.py", "catalogue.md"))
    for path in (*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md")):
        (SOURCE / path.relative_to(DOCS)).write_text(adapt(path.read_text("utf-8")), "utf-8")
    for name, page in TOP_PAGES.items():
        text = (ROOT / name).read_text("utf-8").replace("](docs/", "](")
        (SOURCE / page).write_text(adapt(text), "utf-8")
    index = SOURCE / "index.md"
    features = (
        (ROOT / "README.md").read_text("utf-8").partition("\n## What you get\n")[2].partition("\n## ")[0]
    )
    features = features.strip().replace("](docs/", "](") + "\n"
    index.write_text(adapt(index.read_text("utf-8").replace("FEATURES\n", features)), "utf-8")
    write_catalogue()
    (SOURCE / "api.md").write_text(api_page(), "utf-8")


def adapt(text: str) -> str:
    """A page for the site: its links, an anchor for each error code, and the names of files above blocks."""
    for name, page in TOP_PAGES.items():
        text = re.sub(rf"\]\((?:\.\./)?((?:\.\./)?){re.escape(name)}", rf"](\1{page}", text)
    text = text.replace("reference/catalogue.md)", "catalogue/index.md)").replace("](README.md", "](index.md")
    text = re.sub(r"\]\((?:\.\./)*examples/", f"]({SOURCE_URL}/examples/", text)
    block = r"^```(\w+) (?:.* )?title=(?!output\b)(\S+).*$"
    text = re.sub(block, r"```{code-block} \1\n:caption: \2\n", text, flags=re.MULTILINE)
    return re.sub(
        r"^- (E\d{3}[^:\n]*):", lambda found: f"- {anchors(found[1])}{found[0][2:]}", text, flags=re.MULTILINE
    )


def anchors(codes: str) -> str:
    """An anchor for each code of `E001 to E003, E007`: `errors.html#E002`."""
    ranges = re.findall(r"E(\d{3})(?: to E(\d{3}))?", codes)
    numbers = [number for first, last in ranges for number in range(int(first), int(last or first) + 1)]
    return "".join(f'<span id="E{number:03}"></span>' for number in numbers)


def write_catalogue() -> None:
    """The overview and the page of each blueprint."""
    pages = runpy.run_path(str(SITE / "blueprint_pages.py"))
    apis = pages["load"](Catalogue([("shipped", ROOT / "blueprints")]))
    folder = SOURCE / "catalogue"
    folder.mkdir()
    (folder / "index.md").write_text(pages["overview"](apis), "utf-8")
    for api in apis:
        (folder / f"{api.page}.md").write_text(pages["page"](api), "utf-8")


def api_page() -> str:
    """The public names of the package, documented by their docstrings."""
    import nango_py

    names = [name for name in nango_py.__all__ if not name.startswith("__")]
    blocks = []
    for name in names:
        kind = "autoexception" if name in vars(nango_py.errors) else "autoclass"
        blocks.append(f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: nango_py.{name}\n```\n")
    return API_HEAD + "\n".join(blocks)


if __name__ == "__main__":
    sys.exit(main())
