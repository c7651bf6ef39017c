"""The checked form of files that did not change: believed only when nothing did, and never shown a secret."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nango_py.config.cache import fingerprint as inputs_of
from nango_py.config.cache.cache_folder import ConfigCache
from nango_py.config.cache.serialized import unpack
from nango_py.config.files import ConfigFiles
from nango_py.errors import ConfigError
from nango_py.registry import AUTH_MODES
from nango_py.secret import Secret
from tests.support.config_project import (
    INTEGRATIONS,
    KEY,
    MAIL,
    SECRETS,
    Project,
    changed,
    plain,
    was_hit,
)
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that is loaded for the first time."""
    return Project(tmp_path)


def test_a_hit_gives_what_reading_the_files_gives(project: Project) -> None:
    """Settings, places, templates, secrets, config and warnings are the same to the last part."""
    fresh = project.load(cached=False)
    first, second = project.load(), project.load()
    assert [was_hit(one) for one in (fresh, first, second)] == [False, False, True]
    assert plain(fresh) == plain(first) == plain(second)
    headers = dict(second.integrations["named"].requests.headers)
    assert headers["X-Key"].render({"access_token": "t"}) == "from-environment-0815-t"
    assert headers["X-Optional"].render({}) == "none"


def test_the_comparison_would_see_a_difference(project: Project) -> None:
    """The control: two configurations that differ in one word are not the same."""
    before = plain(project.load(cached=False))
    changed(project.file, "two lines", "two words")
    assert plain(project.load(cached=False)) != before


def test_settings_from_python_are_kept_too(project: Project) -> None:
    """A mapping and overrides hit when they are the same, and miss when a value differs."""
    secrets = {"oauth_client_id": "client-id-77", "oauth_client_secret": "${MAIL_SECRET}"}
    project.source = {
        "mine": {"extends_blueprint": "mail:v1", **secrets},
        "own": {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://own.example.test/"}},
    }
    project.overrides = {"own": {"requests": {"headers": {"X-A": "${api_key}", "X-B": "literal-key-4711"}}}}
    fresh = project.load()
    kept = project.load()
    assert not was_hit(fresh)
    assert was_hit(kept)
    assert plain(fresh) == plain(kept)
    assert not any(secret in project.forms[0].read_text() for secret in SECRETS)
    project.overrides = {"own": {"requests": {"headers": {"X-A": "${api_key}", "X-B": "literal-key-4712"}}}}
    assert not was_hit(project.load())


def edits(project: Project) -> dict[str, Callable[[], object]]:
    """Everything that can change between two starts, by its name."""
    folder = project.folder / "blueprints"
    return {
        "integrations.yaml": lambda: changed(project.file, "X-Key", "X-Kez"),
        "a comment only": lambda: project.file.write_text(INTEGRATIONS + "# x"),
        "the blueprint": lambda: changed(folder / "mail.v1.yaml", "title: Mail", "title: Mall"),
        "the blueprint it extends": lambda: changed(folder / "post.v0.yaml", "title: Post", "title: Most"),
        "a new blueprint": lambda: project.blueprint("mail.v2.yaml", MAIL.replace("v1", "v2")),
        "a variable": lambda: project.environ.update(MAIL_SECRET="other"),
        "a variable that was unset": lambda: project.environ.update(UNSET_NAME="x"),
        "who may write a file": lambda: project.file.chmod(0o606),
        "an API that ends": lambda: project.clock.advance(86_400 * 365 * 10),
        "a clock that goes back": lambda: setattr(project, "clock", ManualClock(1_700_000_000.0)),
        "the key": lambda: setattr(project, "key", "x" * 44),
        "a file with another ending": lambda: project.file.with_suffix(".yml").write_text(""),
    }


def names_of_edits() -> list[str]:
    """The names, without a project."""
    return [
        "integrations.yaml", "a comment only", "the blueprint", "the blueprint it extends", "a new blueprint",
        "a variable", "a variable that was unset", "who may write a file", "an API that ends",
        "a clock that goes back", "the key", "a file with another ending",
    ]  # fmt: skip


@pytest.mark.parametrize("name", names_of_edits())
def test_any_change_is_a_miss(project: Project, name: str) -> None:
    """Whatever took part and changed makes the files be read again, and the new form is kept."""
    project.load()
    assert was_hit(project.load())
    edits(project)[name]()
    fresh = project.load()
    assert not was_hit(fresh)
    assert plain(fresh) == plain(project.load(cached=False))
    assert was_hit(project.load())


def test_the_list_of_changes_is_whole(project: Project) -> None:
    """Every change that is described is tried."""
    assert list(edits(project)) == names_of_edits()


def test_a_link_to_another_file_of_the_same_content_is_a_miss(project: Project, tmp_path: Path) -> None:
    """Where a file really is was part of the check, so it is part of the form."""
    project.load()
    path = project.folder / "blueprints" / "mail.v1.yaml"
    outside = tmp_path / "outside.yaml"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(ConfigError, match="E104"):
        project.load()


def test_a_change_that_is_wrong_is_found(project: Project) -> None:
    """A form never hides a problem: the file that was changed is checked."""
    project.load()
    changed(project.folder / "blueprints" / "mail.v1.yaml", "title: Mail", "titel: Mail")
    with pytest.raises(ConfigError, match="titel"):
        project.load()
    assert len(project.forms) == 1


def test_files_that_are_wrong_leave_no_form(project: Project) -> None:
    """Only what passed every check is kept."""
    changed(project.file, "app_api_key", "app_api_kez")
    with pytest.raises(ConfigError):
        project.load()
    assert project.forms == []


def test_another_version_of_the_program_is_a_miss(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer program checks again, because it may check more."""
    project.load()
    monkeypatch.setattr(inputs_of, "__version__", "99.0.0")
    assert not was_hit(project.load())
    assert was_hit(project.load())


def test_a_changed_module_of_the_program_is_a_miss(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a checkout the version stays while the checks change, so the files of the checks count too."""
    copy = tmp_path / "copy" / "config"
    copy.mkdir(parents=True)
    for name in (
        "auth",
        "pagination",
        "protocols",
        "config/schema",
        "config/template",
        "config/urls",
        "config/yaml",
    ):
        (tmp_path / "copy" / name).mkdir()
    (copy / "cache").mkdir()
    (copy / "cache" / "fingerprint.py").write_text("# here")
    monkeypatch.setattr(inputs_of, "__file__", str(copy / "cache" / "fingerprint.py"))
    project.load()
    assert was_hit(project.load())
    (tmp_path / "copy" / "auth" / "new_mode.py").write_text("# a new mode")
    assert not was_hit(project.load())


def test_a_part_of_another_package_is_a_miss(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a part that this process registered the files are read: its schema took part in no form."""
    project.load()
    assert was_hit(project.load())
    part = type("Other", (), {"name": "OTHER", "__module__": "elsewhere"})
    monkeypatch.setitem(AUTH_MODES._classes, "OTHER", part)
    monkeypatch.setattr(AUTH_MODES, "names", lambda: ("API_KEY", "OAUTH2", "USERNAME_PASSWORD"))
    assert AUTH_MODES.additions() == ("OTHER",)
    assert not was_hit(project.load())


def test_a_package_that_was_installed_is_a_miss(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installed package may bring blueprints and parts, so the installed packages count."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(place)])
    project.load()
    assert was_hit(project.load())
    (place / "module.py").write_text("")
    assert was_hit(project.load())
    (place / "pack-1.0.dist-info").mkdir()
    assert not was_hit(project.load())
    (place / "pack-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\n")
    assert not was_hit(project.load())
    assert was_hit(project.load())


def count_calls(run: Callable[[], object]) -> int:
    """How many Python functions a function calls."""
    events: Counter[str] = Counter()

    def note(_: object, event: str, __: object) -> None:
        events[event] += 1

    sys.setprofile(note)
    run()
    sys.setprofile(None)
    return events["call"]


def test_a_large_configuration_is_kept_and_only_what_is_used_is_made(project: Project) -> None:
    """Sixty integrations start with the calls of six; each is the same as without the cache."""
    entry = "  i%d: {extends_blueprint: mail:v1, oauth_client_id: x, oauth_client_secret: y, x-data: [%s]}\n"
    counts = []
    for number in (6, 60):
        entries = "".join(entry % (index, ", ".join(["1"] * 1_500)) for index in range(number))
        project.file.write_text(f"integrations:\n{entries}")
        fresh = project.load()
        counts.append(count_calls(lambda: project.load().integrations["i3"]))
    kept = project.load()
    assert (
        sum(len(json.dumps(unpack(line))) for line in project.forms[0].read_bytes().split(b"\n")[4::2])
        > 4 * 2**20
    )
    assert was_hit(kept)
    assert plain(kept) == plain(fresh)
    assert counts[1] < counts[0] * 1.1
    assert kept.integrations["i3"] is kept.integrations["i3"]
    assert ("i61" in kept.integrations, len(kept.integrations)) == (False, 60)


def test_the_environment_of_a_hit_is_that_of_the_start(project: Project) -> None:
    """Integrations are made later; the values that they name were read when the program started."""
    project.load()
    kept = project.load()
    value = "from-environment-0815"
    (name,) = [name for name, text in project.environ.items() if text == value]
    project.environ[name] = "changed"
    assert was_hit(kept)
    headers = dict(kept.integrations["named"].requests.headers)
    assert headers["X-Key"].render({"access_token": "t"}) == f"{value}-t"


def test_a_file_that_changes_while_it_is_checked_leaves_no_form(project: Project) -> None:
    """A form is of the bytes that were checked, and not of those that stand there a moment later."""
    cache = ConfigCache(project.nango, Secret(KEY), project.clock)
    files = ConfigFiles(
        project.file, project.folder / "blueprints", None, project.environ, reload=False, cache=lambda _: None
    )
    loaded = files._read()
    changed(project.folder / "blueprints" / "mail.v1.yaml", "title: Mail", "titel: Mail")
    inputs = cache.inputs(project.file, None, project.folder / "blueprints", project.environ)
    assert not cache.save(inputs, loaded)
    changed(project.folder / "blueprints" / "mail.v1.yaml", "titel: Mail", "title: Mail")
    assert cache.save(inputs, loaded)


def test_the_newest_version_is_looked_for_again(project: Project) -> None:
    """An entry that names no version gets a version that was added since, with the warning about it."""
    changed(project.file, "  plain:\n    extends_blueprint: mail:v1", "  plain:\n    extends_blueprint: mail")
    project.load()
    kept = project.load()
    assert was_hit(kept)
    assert [warning.code for warning in kept.warnings] == ["W101"]
    project.blueprint("mail.v10.yaml", MAIL.replace("v1", "v10"))
    assert project.load().integrations["plain"].blueprint == "mail:v10"


def test_a_hit_imports_no_parser(project: Project) -> None:
    """With a kept form neither YAML, JSON Schema nor Jinja is imported; without one YAML is."""
    code = """
        import json, pathlib, sys
        from nango_py.config.cache.cache_folder import ConfigCache
        from nango_py.config.files import ConfigFiles
        from nango_py.secret import Secret
        folder = pathlib.Path(sys.argv[1])
        cache = ConfigCache(folder / ".nango", Secret("k" * 44))
        file, environ = folder / "integrations.yaml", {"MAIL_SECRET": "s"}
        ConfigFiles(file, None, None, environ, reload=False, cache=lambda _: cache)
        costly = {"yaml", "jsonschema", "jinja2", "importlib.metadata", "dataclasses"}
        print(json.dumps(sorted(costly & set(sys.modules))))
    """
    program = textwrap.dedent(code)
    runs = [
        subprocess.run(
            [sys.executable, "-c", program, str(project.folder)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        ).stdout
        for _ in range(2)
    ]  # fmt: skip
    assert "yaml" in json.loads(runs[0])
    assert json.loads(runs[1]) == []
