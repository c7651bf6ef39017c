"""Blueprint files that did not change are not checked again by the next catalogue."""

from __future__ import annotations

import time
from pathlib import Path

from nango_py.config.catalogue import Catalogue, shipped_folder
from nango_py.config.checked_files import SETTLED_SECONDS, find_checked, identify, keep_checked
from nango_py.errors import Position

AT = Position("test")
TEXT = "name: a\nversion: v0\nauth: {auth_mode: API_KEY}\nrequests: {base_url: https://h.test/}\n"


def tree_of(folder: Path, ref: str) -> object:
    """The tree of a blueprint that a new catalogue finds."""
    return Catalogue([("local", folder)]).find(ref, AT).origins.root


def test_a_settled_file_is_read_once() -> None:
    """Two catalogues share what they read; a change between them would show."""
    path = shipped_folder() / "close.v0.yaml"
    if identify(path, time.time()) is None:  # a checkout of this moment
        path = Path(__file__)
    assert identify(path, time.time() + SETTLED_SECONDS) is not None
    assert (tree_of(shipped_folder(), "close:v0") is tree_of(shipped_folder(), "close:v0")) == (
        path.name == "close.v0.yaml"
    )


def test_a_file_that_changed_just_now_is_read_again(tmp_path: Path) -> None:
    """Its time may be that of the next change, so it is not kept."""
    path = tmp_path / "a.v0.yaml"
    path.write_text(TEXT)
    assert identify(path, time.time()) is None
    for host in ("h.test", "i.test"):
        path.write_text(TEXT.replace("h.test", host))
        found = Catalogue([("local", tmp_path)]).find("a:v0", AT)
        assert found.settings["requests"]["base_url"] == f"https://{host}/"


def test_a_changed_file_is_not_the_one_that_was_kept(tmp_path: Path) -> None:
    """Content, permissions and a replaced file differ; the same file does not."""
    path = tmp_path / "a.v0.yaml"
    path.write_text(TEXT)
    later = time.time() + SETTLED_SECONDS + 1
    found = Catalogue([("local", tmp_path)])._check(Catalogue([("local", tmp_path)]).locate("a:v0", AT))
    before = identify(path, later)
    keep_checked(path, "shown", "v0", before, found)
    assert find_checked(path, "shown", "v0", identify(path, later)) is found
    assert find_checked(path, "shown", "v1", before) is None
    path.chmod(0o640 if path.stat().st_mode & 0o777 != 0o640 else 0o600)
    assert find_checked(path, "shown", "v0", identify(path, later)) is None
    path.unlink()
    assert identify(path, later) is None
    assert find_checked(path, "shown", "v0", None) is None
