"""A project folder, and the nango command run in this process."""

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
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


class Product:
    """A folder with integrations.yaml where commands run."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, *arguments: str) -> CommandResult:
        """Run `nango` with these arguments."""
        self._capsys.readouterr()
        code = main(arguments)
        captured = self._capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    def write(self, name: str, text: str) -> Path:
        """Write a file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def register(self, integration: str, user: str, credentials: str, *more: str) -> CommandResult:
        """Register a connection from a file, without verifying it."""
        path = self.write("credentials.json", credentials)
        words = ("connections", "register", integration, user, "--credentials-file", str(path), *more)
        return self.run(*words, "--no-verify")


@pytest.fixture
def product(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Product:
    """A product whose folder is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NANGO_ENCRYPTION_KEYS", raising=False)
    product = Product(tmp_path, capsys)
    product.write("integrations.yaml", INTEGRATIONS)
    return product
