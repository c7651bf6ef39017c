"""The provider file of today's Nango, from the npm registry, which this job needs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from nango_py.cli import main

if TYPE_CHECKING:
    from pathlib import Path

LEAST_SHARE = 0.85


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest file."""
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run(["npm", "pack", "--silent", "@nangohq/providers"], cwd=folder, check=True)
    subprocess.run(["tar", "-xzf", *(path.name for path in folder.glob("*.tgz"))], cwd=folder, check=True)
    return folder / "package" / "providers.yaml"


def test_most_entries_are_imported(
    providers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least 85 % become files, and each of the others is listed with its reason."""
    assert main(("--blueprints", str(tmp_path), "blueprints", "import", str(providers))) == 0
    lines = capsys.readouterr().out.splitlines()
    written, _, total = lines[-1].split()[:3]
    assert int(written) >= LEAST_SHARE * int(total)
    assert int(total) - int(written) == sum(line.startswith("not imported: ") for line in lines)
    assert len(list(tmp_path.glob("*.yaml"))) == int(written)
