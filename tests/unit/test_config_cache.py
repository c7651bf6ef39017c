"""The checked form of files that did not change: believed only when nothing did, and never shown a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.cache import cache_folder as caching
from nango_py.config.cache import fingerprint as inputs_of
from nango_py.config.cache.cache_folder import ConfigCache
from nango_py.config.cache.serialized import LazyOrigins, unpack
from nango_py.config.files import ConfigFiles
from nango_py.config.template.compiled import TemplateText
from nango_py.config.values import EnvironmentText
from nango_py.errors import ConfigError
from nango_py.registry import AUTH_MODES
from nango_py.secret import Secret
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.model import Configuration

KEY = "k" * 44
SECRETS = ("literal-key-4711", "from-environment-0815", "db-password-2342", "client-id-77")

INTEGRATIONS = """\
integrations:
  plain:
    extends_blueprint: mail:v1
    oauth_client_id: client-id-77
    oauth_client_secret: literal-key-4711
  named:
    extends_blueprint: mail:v1
    title: "In quotes: literal-key-4711"
    comment: >
      folded over literal-key-4711
      two lines

      and a third
    oauth_client_id: client-id-77
    oauth_client_secret: ${MAIL_SECRET}
    oauth_scopes: [read, 'write', "client-id-77"]
    http_request_timeout_seconds: 12.5
    requests:
      base_url: https://${additional_config.region | default("eu")}.example.test/
      headers:
        accept: text/plain
        X-Key: ${MAIL_SECRET}-${access_token}
        X-Optional: ${UNSET_NAME or "none"}
  own:
    app_api_key: literal-key-4711
    auth: {auth_mode: API_KEY}
    requests: {base_url: 'https://own.example.test/v1/', params: {key: "${api_key}"}}
    rate_limits: {budgets: [{key: all, otherwise: [3/second]}]}
config:
  database_url: postgresql://user:db-password-2342@host/db
  default_http_request_timeout_seconds: 33
"""

BASE = """\
name: post
version: v0
title: Post
status: {deprecated_on: 2031-01-01, retires_on: 2032-01-01}
auth: {auth_mode: OAUTH2, authorization_url: "https://x.example.test/a", token_url: "https://x.example.test/t"}
requests:
  base_url: https://post.example.test/
  headers: {Accept: application/json, Authorization: "Bearer ${access_token}"}
"""

MAIL = """\
name: mail
version: v1
title: Mail
extends: post:v0
requests:
  base_url: https://mail.example.test/
status: {deprecated_on: 2031-01-01, retires_on: 2032-01-01}
"""


class Project:
    """A folder with integrations.yaml, two blueprints of its own and `.nango/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "integrations.yaml"
        self.nango = folder / ".nango"
        self.clock = ManualClock()
        self.environ = {"MAIL_SECRET": "from-environment-0815"}
        self.source: Path | Mapping[str, Any] = self.file
        self.overrides: Mapping[str, Any] | None = None
        self.key = KEY
        (folder / "blueprints").mkdir()
        self.nango.mkdir(mode=0o700)
        self.file.write_text(INTEGRATIONS)
        self.blueprint("post.v0.yaml", BASE)
        self.blueprint("mail.v1.yaml", MAIL)

    def blueprint(self, name: str, text: str) -> Path:
        """Write a blueprint."""
        path = self.folder / "blueprints" / name
        path.write_text(text)
        return path

    def load(self, *, cached: bool = True) -> Configuration:
        """The configuration as a start finds it."""
        cache = ConfigCache(self.nango, Secret(self.key), self.clock)
        return ConfigFiles(
            self.source,
            self.folder / "blueprints",
            self.overrides,
            self.environ,
            reload=False,
            cache=lambda _: cache if cached else None,
        ).current()

    @property
    def forms(self) -> list[Path]:
        """The kept forms."""
        return sorted(self.nango.glob("checked-*.json"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that is loaded for the first time."""
    return Project(tmp_path)


def was_hit(configuration: Configuration) -> bool:
    """Whether a configuration came from a kept form."""
    return any(isinstance(one.origins, LazyOrigins) for one in configuration)


def plain(value: Any) -> Any:
    """Everything that a value holds, so that two can be compared to the last part."""
    if isinstance(value, EnvironmentText):
        return ("environment", value.reveal())
    if isinstance(value, TemplateText):
        return ("template", str.__str__(value), plain(value.template))
    if isinstance(value, Secret):
        return ("secret", value.reveal())
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "outline"):
        return (value.source, value.names, sorted(value.optional_names), value.outline(), value.is_hidden)
    if hasattr(value, "__record__"):
        return {name: plain(getattr(value, name)) for name in value.__record__}
    return value


def changed(path: Path, old: str, new: str) -> None:
    """Replace a piece of a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


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
    }


def names_of_edits() -> list[str]:
    """The names, without a project."""
    return [
        "integrations.yaml", "a comment only", "the blueprint", "the blueprint it extends", "a new blueprint",
        "a variable", "a variable that was unset", "who may write a file", "an API that ends",
        "a clock that goes back", "the key",
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
    """A newer program checks anew, for it may check more."""
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


def flipped(raw: bytes, place: int) -> bytes:
    """The bytes with one bit changed."""
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


@pytest.mark.parametrize("part", range(12))
def test_an_altered_form_is_never_believed(project: Project, part: int) -> None:
    """One changed bit anywhere, and the files are read and the form is written anew."""
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
    # The control: what stands in a blueprint is kept.
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
