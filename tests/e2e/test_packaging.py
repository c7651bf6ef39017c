"""The package works from a wheel, from a source archive and from an editable install."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.name for path in (ROOT / "blueprints").glob("*.yaml"))
STATIC = {f"nango_py/server/static/{path.name}" for path in (ROOT / "nango_py/server/static").iterdir()}

LIST = """
from nango_py.config.catalogue import open_catalogue
from pathlib import Path
for ref in open_catalogue(Path("nowhere")).refs():
    print(Path(ref.path).name)
"""


def build(source: Path, target: Path, hook: str) -> Path:
    """Run a build hook of the project in `source`, like pip, and return the built file."""
    code = f"import hatchling.build as b; print(b.{hook}({str(target)!r}))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True
    )
    return target / found.stdout.strip().splitlines()[-1]


def listed(tmp_path: Path, *, paths: list[Path]) -> list[str]:
    """The blueprints that a new interpreter finds outside of the checkout."""
    found = subprocess.run(
        [sys.executable, "-P", "-c", LIST],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(found.stdout.split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "build_wheel")


def test_the_wheel_holds_the_blueprints_and_the_schemas(wheel: Path) -> None:
    """The wheel contains the blueprints, the schemas, the connect page and py.typed."""
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("nango_py/") for name in names if name.startswith("nango_py/blueprints/")}
    assert shipped == {str(path.relative_to(ROOT)) for path in (ROOT / "blueprints").rglob("*.*")}
    assert "blueprints/logos/LICENSE.md" in shipped
    assert "nango_py/connect/words.json" in names
    assert {f"nango_py/sandbox/watch/{name}" for name in ("page.html", "watch.css", "watch.js")} <= set(names)
    assert {"nango_py/py.typed", "nango_py/integrations.yaml"} <= set(names)
    assert {"nango_py/server/static/connect.html", "nango_py/server/static/nango-connect.js"} <= STATIC
    assert set(names) >= STATIC
    assert any(name.startswith("nango_py/config/schema/") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_an_unpacked_wheel_finds_its_blueprints(wheel: Path, tmp_path: Path) -> None:
    """Without the checkout, the catalogue lists every built-in blueprint."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert listed(tmp_path, paths=[tmp_path / "site"]) == SHIPPED


def test_a_wheel_built_from_the_source_archive_is_the_same(wheel: Path, tmp_path: Path) -> None:
    """The source archive contains every file of the wheel."""
    archive = build(ROOT, tmp_path, "build_sdist")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    again = build(folder, tmp_path, "build_wheel")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_an_editable_install_reads_the_blueprints_of_the_checkout(tmp_path: Path) -> None:
    """An editable install reads the files of the checkout and copies none."""
    built = build(ROOT, tmp_path, "build_editable")
    zipfile.ZipFile(built).extractall(tmp_path / "site")
    (pointer,) = (tmp_path / "site").glob("*.pth")
    assert not (tmp_path / "site" / "nango_py").exists()
    assert listed(tmp_path, paths=[Path(pointer.read_text().strip())]) == SHIPPED
