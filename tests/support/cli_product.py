"""A folder with a product in it, and the nango command run inside this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nango_py.cli import main

if TYPE_CHECKING:
    from pathlib import Path

INTEGRATIONS = """\
integrations:
  klaviyo:
    extends_blueprint: klaviyo:v1
  old:
    extends_blueprint: klaviyo:v0
  close:
    extends_blueprint: close:v0
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Product:
    """A folder with integrations.yaml; commands run in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, *arguments: str) -> Ran:
        """Run `nango` with these arguments."""
        self._capsys.readouterr()
        code = main(arguments)
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the product."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def register(self, integration: str, user: str, credentials: str, *more: str) -> Ran:
        """Register a connection from a file; its API is not asked."""
        path = self.write("credentials.json", credentials)
        words = ("connections", "register", integration, user, "--credentials-file", str(path), *more)
        return self.run(*words, "--no-verify")


@pytest.fixture
def product(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Product:
    """A product in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NANGO_ENCRYPTION_KEYS", raising=False)
    found = Product(tmp_path, capsys)
    found.write("integrations.yaml", INTEGRATIONS)
    return found
