"""examples/notebook runs from top to bottom in a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient

from tests.support.example_apps import EXAMPLES, copy_of, environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from nango_py import Sandbox

NAME = "klaviyo.ipynb"


def test_the_notebook_runs(klaviyo: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell succeeds without a warning, and no output holds the key."""
    monkeypatch.setattr("os.environ", environment(KLAVIYO_API_KEY="pk_ada", JUPYTER_PLATFORM_DIRS="1"))
    folder = copy_of("notebook", tmp_path, klaviyo)
    notebook = nbformat.read(folder / NAME, as_version=4)
    client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, timeout=60)
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    text = nbformat.writes(notebook)
    assert "'accepted'" in text
    assert "pk_ada" not in text
    assert klaviyo.ledger.count(status=200) >= 12


def test_the_notebook_is_stored_without_outputs() -> None:
    """No output of a real account is in the repository."""
    notebook = nbformat.read(EXAMPLES / "notebook" / NAME, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
