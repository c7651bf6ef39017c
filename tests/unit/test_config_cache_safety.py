"""Kept forms of the configuration: altered ones are not believed, and none holds a secret or does harm."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from nango_py.config.cache import cache_folder as caching
from nango_py.config.cache.cache_folder import ConfigCache
from nango_py.config.cache.serialized import unpack
from nango_py.secret import Secret
from tests.support.config_project import (
    INTEGRATIONS,
    KEY,
    SECRETS,
    Project,
    changed,
    plain,
    was_hit,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that is loaded for the first time."""
    return Project(tmp_path)


def flipped(raw: bytes, place: int) -> bytes:
    """The bytes with one bit changed."""
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


@pytest.mark.parametrize("part", range(12))
def test_an_altered_form_is_never_believed(project: Project, part: int) -> None:
    """After one changed bit anywhere, the files are read and the cache is written again."""
    project.load()
    path = project.forms[0]
    raw = path.read_bytes()
    path.write_bytes(flipped(raw, len(raw) * part // 12))
    assert not was_hit(project.load())
    assert path.read_bytes() == raw


@pytest.mark.parametrize("junk", [b"", b"{}", b"\n", b"\xff" * 100, b"0" * 64 + b"\n{}\n{}", b"a\nb\nc\nd"])
def test_junk_is_ignored(project: Project, junk: bytes) -> None:
    """An empty, cut or foreign file is as good as none."""
    project.load()
    project.forms[0].write_bytes(junk)
    assert not was_hit(project.load())
    assert was_hit(project.load())


def test_a_form_sealed_with_another_key_is_ignored(project: Project) -> None:
    """Who can write the folder and does not know the key cannot change what is loaded."""
    project.load()
    seal, _, body = project.forms[0].read_bytes().partition(b"\n")
    forged = body.replace(b"https://mail.example.test/", b"https://evil.example.test/")
    assert forged != body
    inputs = ConfigCache(project.nango, Secret("guess" * 9)).inputs(project.file, None, project.folder, {})
    project.forms[0].write_bytes(inputs.sign(forged).encode() + b"\n" + forged)
    loaded = project.load()
    assert not was_hit(loaded)
    assert loaded.integrations["plain"].requests.base_url.source == "https://mail.example.test/"
    # The control: with the right key the forged form would have been taken.
    right = ConfigCache(project.nango, Secret(KEY), project.clock).inputs(
        project.file, None, project.folder, {}
    )
    project.forms[0].write_bytes(right.sign(forged).encode() + b"\n" + forged)
    assert project.load().integrations["plain"].requests.base_url.source == "https://evil.example.test/"
    assert seal.decode() != right.sign(forged)


def test_no_secret_is_in_a_form(project: Project) -> None:
    """Neither a text of integrations.yaml nor a value of the environment is kept, in whole or hashed bare."""
    project.load()
    assert was_hit(project.load())
    lines = project.forms[0].read_bytes().split(b"\n")
    text = "".join([*map(bytes.decode, lines), *(json.dumps(unpack(line)) for line in lines[4::2])])
    for secret in SECRETS:
        assert secret not in text
        assert secret.encode().hex() not in text
    for own in ("In quotes", "folded", "own.example.test", "text/plain", "3/second", "MAIL_SECRET}"):
        assert own in INTEGRATIONS
        assert own not in text
    # The control: the text of a blueprint is kept.
    assert "https://mail.example.test/" in text


def test_a_form_is_private(project: Project) -> None:
    """0600 under any umask, and no draft is left."""
    before = os.umask(0)
    try:
        project.load()
    finally:
        os.umask(before)
    assert project.forms[0].stat().st_mode & 0o777 == 0o600
    assert os.listdir(project.nango) == [project.forms[0].name]  # noqa: PTH208


def test_without_the_folder_nothing_is_kept_and_nothing_is_made(project: Project) -> None:
    """A start makes no folder: `.nango/` appears with the first connection."""
    project.nango.rmdir()
    assert plain(project.load()) == plain(project.load(cached=False))
    assert not project.nango.exists()


def test_a_folder_that_cannot_be_written_does_no_harm(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only disk, or a full one, every start reads the files."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nango_py.config.cache.cache_folder.os.open", refuse)
    assert not was_hit(project.load())
    assert not was_hit(project.load())
    assert project.forms == []


def test_a_text_with_escapes_is_not_kept(project: Project) -> None:
    """What cannot be read from its place again makes a form impossible; the files are read each time."""
    changed(project.file, '"In quotes: literal-key-4711"', '"with an \\u0041 escape"')
    assert not was_hit(project.load())
    assert not was_hit(project.load())
    assert project.load().integrations["named"].title == "with an A escape"


@pytest.mark.parametrize("place", ["extends_blueprint", "blueprint_paths"])
def test_a_file_that_the_environment_names_leaves_no_form(project: Project, place: str) -> None:
    """The name would stand in the form, and nothing of the environment does."""
    if place == "extends_blueprint":
        project.environ["WHICH"] = "mail:v1"
        changed(
            project.file, "extends_blueprint: mail:v1\n    oauth", "extends_blueprint: ${WHICH}\n    oauth"
        )
    else:
        project.environ["WHICH"] = str(project.folder)
        changed(project.file, "config:\n", "config:\n  blueprint_paths: ['${WHICH}']\n")
    assert not was_hit(project.load())
    assert not was_hit(project.load())
    assert project.forms == []


def test_old_forms_are_removed(project: Project) -> None:
    """No more than eight forms are kept, and none for longer than a month."""
    for number in range(12):
        path = project.nango / f"checked-{number:016x}.json"
        path.write_text("{}")
        age = project.clock.now() - (60 if number < 11 else 86_400 * 40) - number
        os.utime(path, (age, age))
    (project.nango / "nango.db").write_text("other files stay")
    project.load()
    assert len(project.forms) == caching.MAX_ENTRIES
    assert not (project.nango / f"checked-{11:016x}.json").exists()
    assert (project.nango / "nango.db").exists()
    assert was_hit(project.load())


def test_a_form_that_is_too_large_is_not_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder stays small whatever the files are."""
    monkeypatch.setattr(caching, "MAX_BYTES", 1000)
    assert not was_hit(project.load())
    assert project.forms == []


@pytest.mark.parametrize(("many", "level"), [(1, "WARNING"), (1000, "INFO")])
def test_a_configuration_that_is_not_kept_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, many: int, level: str
) -> None:
    """With the reason; a warning where a start without the cache takes long."""
    caplog.set_level("INFO", "nango_py.config")
    project.load()
    assert caplog.records == []
    monkeypatch.setattr(caching, "MANY_INTEGRATIONS", many)
    monkeypatch.setattr(caching, "MAX_BYTES", 1000)
    changed(project.file, "two lines", "two words")
    project.load()
    monkeypatch.setattr(caching, "MAX_BYTES", 10**6)
    changed(project.file, '"In quotes: literal-key-4711"', '"with an \\u0041 escape"')
    project.load()
    assert [record.levelname for record in caplog.records] == [level, level]
    assert "at most 1000 are kept" in caplog.text
    assert "is written with escapes" in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS)
