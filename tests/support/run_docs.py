"""Runs the code blocks of the docs in a folder with sandboxes for every API.

`python -m tests.support.run_docs` runs the Python blocks of pages, with `nango_py.Nango` redirected to the
sandboxes in DOCS_OVERRIDES: each page in a forked child, because most of its time would be imports.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py import Nango, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = tuple(sorted((ROOT / "docs" / "how-to").glob("*.md")))
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *HOW_TO)
REFERENCE = tuple(sorted((ROOT / "docs" / "reference").glob("*.md")))
"""Generated pages that list everything, and so explain nothing."""

TEXTS = (
    *PAGES,
    *REFERENCE,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "examples" / "README.md",
)
OVERRIDES = "DOCS_OVERRIDES"
OUTPUTS = ("printed.txt", "errors.txt")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the rest of the info string, its text and its first line."""

    page: Path
    language: str
    info: str
    text: str
    line: int

    @property
    def title(self) -> str:
        """The name of the file that the block holds, or ""."""
        found = re.search(r"title=(\S+)", self.info)
        return found[1] if found else ""

    @property
    def is_example(self) -> bool:
        """Whether the block is a part of a file in examples/."""
        return self.title.startswith("examples/")

    @property
    def is_run(self) -> bool:
        """Whether the block is run, rather than only checked."""
        return "no-run" not in self.info and not self.title

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in order, of some languages or of all."""
    text = page.read_text()
    found = [
        Block(page, match[1], match[2].strip(), match[3], text[: match.start(3)].count("\n") + 1)
        for match in re.finditer(r"^```(\w*)([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]
    return [block for block in found if not languages or block.language in languages]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with the shipped files, and a sandbox for each of its integrations."""

    folder: Path
    sandboxes: Mapping[str, Sandbox]
    real_urls: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """Environment variables of a process: this checkout, and a `nango` command that runs it."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        (tools / "nango").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nango_py "$@"\n')
        (tools / "nango").chmod(0o755)
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            OVERRIDES: json.dumps(self.overrides()),
        }

    def overrides(self) -> dict[str, Any]:
        """The overrides that redirect the integrations to their sandboxes."""
        return {name: {"requests": {"base_url": each.base_url}} for name, each in self.sandboxes.items()}

    def as_documented(self, text: str) -> str:
        """The output with real base URLs instead of those of sandboxes."""
        for name, sandbox in self.sandboxes.items():
            text = text.replace(sandbox.base_url, self.real_urls[name])
        return text


@contextmanager
def documented_place(folder: Path) -> Iterator[Place]:
    """A folder like a checkout, with a sandbox for every API.

    Of the blueprints it has those that its integrations extend; the others are found in the package.
    """
    shutil.copy(ROOT / "integrations.yaml", folder)
    (folder / "blueprints").mkdir()
    for name, version in re.findall(
        r"extends_blueprint: (\S+):(v\d+)", (folder / "integrations.yaml").read_text()
    ):
        shutil.copy(ROOT / "blueprints" / f"{name}.{version}.yaml", folder / "blueprints")
    shutil.copytree(ROOT / "blueprints" / "logos", folder / "blueprints" / "logos")
    with ExitStack() as stack:
        nango = stack.enter_context(Nango(folder / "integrations.yaml", environ={}))
        declared = nango.configuration.integrations
        sandboxes = {
            name: stack.enter_context(Sandbox(each.settings, strict=False)) for name, each in declared.items()
        }
        real_urls = {name: each.settings["requests"]["base_url"] for name, each in declared.items()}
        yield Place(folder, sandboxes, real_urls)


@contextmanager
def page_runner() -> Iterator[Callable[[Path, Place], str]]:
    """A function that runs a page's Python blocks in order, and returns their output."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.run_docs"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        to_process, from_process = process.stdin, process.stdout
        assert to_process is not None
        assert from_process is not None

        def run(page: Path, place: Place) -> str:
            print(
                json.dumps([str(page), str(place.folder), place.environment()]), file=to_process, flush=True
            )
            status = from_process.readline()
            printed, errors = ((place.folder / name).read_text() for name in OUTPUTS)
            assert status == "0\n", printed + errors
            return place.as_documented(printed)

        yield run
        to_process.close()


def serve() -> None:
    """Run the pages whose names, folders and environments are read, and print their exit statuses."""
    import nango_py

    for name in nango_py.__all__:
        getattr(nango_py, name)
    for line in sys.stdin:
        page, folder, environment = json.loads(line)
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            sys.path[0] = folder
            os.environ.update(environment)
            for number, name in enumerate(OUTPUTS, start=1):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
            main(Path(page))
            return
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def main(page: Path) -> None:
    """Run the blocks with the line numbers of the page, for tracebacks."""
    import nango_py

    redirected = json.loads(os.environ[OVERRIDES])

    class DocumentedNango(Nango):
        """Nango with its known integrations redirected to sandboxes."""

        def __init__(self, integrations: Any = None, **options: Any) -> None:
            is_mapping = isinstance(integrations, dict)
            names = integrations.get("integrations", integrations) if is_mapping else redirected
            ours = {name: settings for name, settings in redirected.items() if name in names}
            for name, given in (options.pop("overrides", None) or {}).items():
                requests = ours.get(name, {}).get("requests", {}) | given.get("requests", {})
                ours[name] = {**given, "requests": requests}
            super().__init__(integrations, overrides=ours, **options)

    nango_py.Nango = DocumentedNango
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if block.title and not block.is_example:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text)
        if block.is_run:
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, namespace)  # noqa: S102 - the page's own code is what is tested


if __name__ == "__main__":
    serve()
