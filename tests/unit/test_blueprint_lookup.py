"""Blueprints by name and version: where they are found, what they extend, and what is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from nango_py.config.catalogue import Catalogue, open_catalogue, shipped_folder
from nango_py.config.loading import load_configuration
from nango_py.config.yaml.document import parse_document
from nango_py.config.yaml.merge import Sourced, merge, settings_at, with_nulls
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from pathlib import Path

AT = Position("i", 3, 24)
BODY = "auth: {auth_mode: API_KEY}\nrequests: {base_url: 'https://h.test/'}\n"


def write(folder: Path, ref: str, text: str = BODY) -> Path:
    """A blueprint file of that name and version."""
    name, _, version = ref.partition(":")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.{version}.yaml"
    file.write_text(f"name: {name}\nversion: {version}\n{text}")
    return file


def refusal(catalogue: Catalogue, ref: str) -> str:
    """The message with which a reference is refused."""
    with pytest.raises(ConfigError) as caught:
        catalogue.find(ref, AT)
    return str(caught.value)


def test_the_first_folder_that_has_a_version_gives_it(tmp_path: Path) -> None:
    """Local before paths before shipped; the others are listed as shadowed."""
    for folder in ("local", "path", "shipped"):
        write(tmp_path / folder, "a:v0", f"title: {folder}\n{BODY}")
    write(tmp_path / "shipped", "a:v1")
    catalogue = Catalogue([(layer, tmp_path / layer) for layer in ("nowhere", "local", "path", "shipped")])
    found = catalogue.find("a:v0", AT)
    assert (found.title, found.layer, found.ref) == ("local", "local", "a:v0")
    assert found.source == tmp_path / "local" / "a.v0.yaml"
    assert [(ref.layer, ref.path.parent.name) for ref in catalogue.shadowed_files("a:v0")] == [
        ("path", "path"),
        ("shipped", "shipped"),
    ]
    assert [(ref.name, ref.version, ref.layer) for ref in catalogue.refs()] == [
        ("a", "v0", "local"),
        ("a", "v1", "shipped"),
    ]
    assert catalogue.shadowed_files("a:v1") == []


def test_a_name_alone_means_the_newest_and_warns(tmp_path: Path) -> None:
    """Versions are compared as numbers over all folders, and the warning says which to pin."""
    write(tmp_path / "local", "a:v9")
    write(tmp_path / "shipped", "a:v10")
    catalogue = Catalogue([("local", tmp_path / "local"), ("shipped", tmp_path / "shipped")])
    warnings: list[Problem] = []
    assert catalogue.find("a", AT, warnings).ref == "a:v10"
    assert [str(warning) for warning in warnings] == [
        'i:3:24: warning[W101]: "a" names no version, the newest is used; pin it: a:v10'
    ]
    assert [ref.version for ref in catalogue.refs()] == ["v9", "v10"]


def test_the_shipped_blueprints_are_found_last(tmp_path: Path) -> None:
    """The usual catalogue ends with what the package ships."""
    catalogue = open_catalogue(tmp_path / "none")
    assert catalogue.find("klaviyo:v0", AT).layer == "shipped"
    assert {ref.path.parent for ref in catalogue.refs()} == {shipped_folder()}
    more = catalogue.with_folders([tmp_path / "more"])
    write(tmp_path / "more", "klaviyo:v0")
    assert more.find("klaviyo:v0", AT).layer == "path"
    assert catalogue.find("klaviyo:v0", AT).layer == "shipped"


def test_installed_packs_come_before_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution with an entry point in `nango_py.blueprints` adds its folder."""
    write(tmp_path / "acme_pack" / "blueprints", "klaviyo:v0", f"title: Acme's\n{BODY}")
    (tmp_path / "acme_pack" / "__init__.py").write_text(
        "from pathlib import Path\nFOLDER = Path(__file__).parent / 'blueprints'\n"
    )
    information = tmp_path / "acme_pack-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pack\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[nango_py.blueprints]\nacme = acme_pack:FOLDER\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = open_catalogue().find("klaviyo:v0", AT)
    sys.modules.pop("acme_pack", None)
    assert (found.title, found.layer) == ("Acme's", "pack")


def test_a_blueprint_lies_over_the_one_it_extends(tmp_path: Path) -> None:
    """Mappings merge, lists are replaced, null removes, and each key keeps the place it was written at."""
    write(
        tmp_path,
        "base:v0",
        "title: Base\nstatus: {retires_on: 2020-01-01}\ngotchas: [a, b]\n"
        "auth: {auth_mode: API_KEY}\n"
        "requests:\n  base_url: https://base.test/\n  headers: {A: '1', B: '2'}\n",
    )
    write(tmp_path, "top:v3", "extends: base:v0\ngotchas: [c]\nrequests: {headers: {B: null, C: '3'}}\n")
    found = Catalogue([("local", tmp_path)]).find("top:v3", AT)
    assert found.settings["requests"] == {"base_url": "https://base.test/", "headers": {"A": "1", "C": "3"}}
    assert found.settings["gotchas"] == ("c",)
    assert (found.title, found.version, found.status.retires_on) == ("Base", "v3", None)
    origin = {path: str(place).rpartition("/")[2] for path, place in found.origins.items()}
    assert origin["requests", "base_url"] == "base.v0.yaml:8:13"
    assert origin["requests", "headers", "A"] == "base.v0.yaml:9:16"
    assert origin["requests", "headers", "C"] == "top.v3.yaml:5:34"
    assert origin["gotchas", 0] == "top.v3.yaml:4:11"
    assert ("requests", "headers", "B") not in found.origins
    with pytest.raises(TypeError):
        found.settings["title"] = "other"  # type: ignore[index]  # that it cannot is the point


def test_circles_and_long_chains_are_named(tmp_path: Path) -> None:
    """A circle is reported link by link; eight blueprints may extend one another and not nine."""
    write(tmp_path, "a:v0", "extends: b:v0\n")
    write(tmp_path, "b:v0", "extends: c:v0\n")
    write(tmp_path, "c:v0", "extends: a:v0\n")
    for number in range(9):
        write(tmp_path, f"n:v{number}", f"extends: n:v{number - 1}\n" if number else BODY)
    catalogue = Catalogue([("local", tmp_path)])
    assert refusal(catalogue, "a:v0") == (
        "i:3:24: error[E106]: blueprints extend each other: a:v0 -> b:v0 -> c:v0 -> a:v0"
    )
    assert catalogue.find("n:v7", AT).settings["auth"]["auth_mode"] == "API_KEY"
    assert "E106" in refusal(catalogue, "n:v8")


def test_a_wrong_parent_is_told_where_it_is_named(tmp_path: Path) -> None:
    """The place of a missing parent is in the file that extends it, and its own mistakes in its own file."""
    write(tmp_path, "a:v0", "extends: nowhere:v0\n")
    write(tmp_path, "b:v0", "extends: c:v0\n")
    write(tmp_path, "c:v0", f"extra: 1\n{BODY}")
    write(tmp_path, "d:v0", "extends: e:v0\nrequests: null\n")
    write(tmp_path, "e:v0")
    catalogue = Catalogue([("local", tmp_path)])
    assert "a.v0.yaml:3:10: error[E101]" in refusal(catalogue, "a:v0")
    assert "c.v0.yaml:3:1: error[E202]" in refusal(catalogue, "b:v0")
    assert 'd.v0.yaml:1:1: error[E203]: missing top-level key "requests"' in refusal(catalogue, "d:v0")


def test_the_old_form_gives_each_of_its_versions(tmp_path: Path) -> None:
    """`versions:` in `<name>.yaml`: a body each, sharing the keys that stand beside it."""
    body = "{auth: {auth_mode: API_KEY}, requests: {base_url: https://h.test/%s}}"
    (tmp_path / "old.yaml").write_text(
        f"title: Old\nversions:\n  v0: {body % 0}\n  v2: {body % 2}\n  v3: {{extends: old:v2, comment: x}}\n"
    )
    catalogue = Catalogue([("local", tmp_path)])
    assert [ref.version for ref in catalogue.refs()] == ["v0", "v2", "v3"]
    found = catalogue.find("old:v2", AT)
    assert (found.title, found.settings["requests"]["base_url"]) == ("Old", "https://h.test/2")
    assert found.origins["requests", "base_url"].line == 4
    third = catalogue.find("old:v3", AT)
    assert (third.settings["requests"]["base_url"], third.settings["comment"]) == ("https://h.test/2", "x")
    assert 'has no version "v1"; available: v0, v2, v3' in refusal(catalogue, "old:v1")


def test_one_version_in_two_files_is_refused(tmp_path: Path) -> None:
    """Two files with different endings, or one file of each form, may not both define a version."""
    write(tmp_path, "a:v0")
    (tmp_path / "a.yaml").write_text("versions: {v0: {}}")
    write(tmp_path, "b:v1")
    (tmp_path / "b.v1.yml").write_text("")
    catalogue = Catalogue([("local", tmp_path)])
    assert "E107" in refusal(catalogue, "a:v0")
    assert "E107" in refusal(catalogue, "b:v1")


@pytest.mark.parametrize(
    ("file", "text", "ref"),
    [
        ("a.yml", f"name: a\nversion: v0\n{BODY}", "a:v0"),
        ("a.yaml", f"name: a\nversion: v0\n{BODY}", "a:v0"),
        ("a.yaml", f"version: v10\n{BODY}name: a\n", "a:v10"),
        ("a.YAML", f"name: a\nversion: v0\n{BODY}", "a:v0"),
        ("a.yml", f"versions: {{v3: {{{BODY.strip().replace(chr(10), ', ')}}}}}", "a:v3"),
        ("a.v7.yml", f"name: a\nversion: v7\n{BODY}", "a:v7"),
        ("a.v7.Yml", f"name: a\nversion: v7\n{BODY}", "a:v7"),
    ],
)
def test_a_file_without_a_version_or_with_another_ending_is_read(
    tmp_path: Path, file: str, text: str, ref: str
) -> None:
    """It comes before the shipped blueprint of the same name and version."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / file).write_text(text)
    write(tmp_path / "shipped", ref)
    catalogue = Catalogue([("local", tmp_path / "local"), ("shipped", tmp_path / "shipped")])
    assert catalogue.find(ref, AT).source == tmp_path / "local" / file
    assert [(found.name, found.layer) for found in catalogue.refs()] == [("a", "local")]
    assert catalogue.check_folders() == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: a\n" + BODY, "a.yaml:1:1 E203"),
        ("name: a\nversion: 1\n" + BODY, "a.yaml:2:1 E203"),
        ("versions: {}", "a.yaml:1:1 E203"),
        ("versions: {1.0: {}}", "a.yaml:1:12 E207"),
        ("versions: {latest: {}}", "a.yaml:1:1 E203"),
        ("versions: [v0]", "a.yaml:1:1 E203"),
        ("", "a.yaml:1:1 E203"),
        ("- name: a", "a.yaml:1:1 E203"),
        ("name: 'it's'", "a.yaml:1:11 E002"),
        ("{{ name }}: a", "a.yaml:1:1 E207"),
        ("name: a\x00", "a.yaml:1:8 E004"),
    ],
)
def test_a_file_that_says_no_version_hides_nothing(tmp_path: Path, text: str, problem: str) -> None:
    """The shipped blueprint of the same name is not used; the problem has its place in the file."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "a.yaml").write_text(text)
    write(tmp_path / "shipped", "a:v0")
    catalogue = Catalogue([("local", tmp_path / "local"), ("shipped", tmp_path / "shipped")])
    with pytest.raises(ConfigError) as caught:
        catalogue.find("a:v0", AT)
    assert [place_and_code(found) for found in caught.value.problems] == [problem]
    assert [place_and_code(found) for found in catalogue.check_folders()] == [problem]


def place_and_code(problem: Problem) -> str:
    """The name of the file, the place in it, and the code."""
    return f"{str(problem.position).rpartition('/')[2]} {problem.code}"


def test_the_file_name_and_the_name_inside_agree(tmp_path: Path) -> None:
    """Name and version both; each is reported at its place."""
    (tmp_path / "a.v0.yaml").write_text(f"name: b\nversion: v1\n{BODY}")
    assert [
        line.partition("a.v0.yaml:")[2] for line in refusal(Catalogue([("x", tmp_path)]), "a:v0").split("\n")
    ] == [
        '1:7: error[E109]: name "b" but file is a.v0.yaml; make them the same',
        '2:10: error[E109]: version "v1" but file is a.v0.yaml; make them the same',
    ]


@pytest.mark.parametrize(
    ("name", "code", "help_"),
    [
        ("A.v0.yaml", "E109", "rename it to a.v0.yaml"),
        ("a.v01.yaml", "E109", "rename it to a.v1.yaml"),
        ("a.1.yaml", "E109", "rename it to a.v1.yaml"),
        ("a v2.yml", "E109", "rename it to a.v2.yaml"),
        ("a.V3.yaml", "E109", "rename it to a.v3.yaml"),
        ("my api.yaml", "E109", "rename it to my-api.v0.yaml"),
        ("é.v0.yaml", "E109", ""),
        ("a.v0.json", "E108", "rename it to a.v0.yaml"),
        ("a.v0", "E108", "rename it to a.v0.yaml"),
        ("a.v0.yaml.txt", "E108", "rename it to a.v0.yaml"),
        ("a.yaml.txt", "E108", "rename it to a.yaml"),
        (".a.v0.yaml", "W102", "rename it to a.v0.yaml"),
        ("a.v0.yaml~", "W102", ""),
        ("a.v0.yaml.bak", "W102", ""),
        ("a.json", "W102", ""),
        ("a.txt", "W102", ""),
        ("a", "W102", ""),
        ("a.yaml.disabled", "W102", ""),
        ("README.md", None, ""),
        (".DS_Store", None, ""),
        ("blueprint.schema.json", None, ""),
    ],
)
def test_no_file_of_a_given_folder_is_passed_over(
    tmp_path: Path, name: str, code: str | None, help_: str
) -> None:
    """What cannot be a blueprint is an error, what may be there on purpose a warning; notes are nothing."""
    (tmp_path / name).write_text("{")
    found = Catalogue([("local", tmp_path)]).check_folders()
    assert [(problem.code, problem.position.file) for problem in found] == (
        [] if code is None else [(code, str(tmp_path / name))]
    )
    assert [problem.help for problem in found if help_] == [help_] * bool(help_)


def test_folders_below_and_integrations_beside_are_no_blueprints(tmp_path: Path) -> None:
    """A folder with YAML files is a warning; a folder may hold integrations.yaml itself."""
    write(tmp_path / "acme", "acme:v0")
    (tmp_path / "notes").mkdir()
    (tmp_path / "integrations.yaml").write_text("integrations: {}")
    catalogue = Catalogue([("local", tmp_path)])
    assert [problem.code for problem in catalogue.check_folders()] == ["W102"]
    assert catalogue.refs() == []


def test_a_path_that_is_not_a_folder_is_a_warning(tmp_path: Path) -> None:
    """A misspelled entry of blueprint_paths; the folder beside integrations.yaml may be missing."""
    (tmp_path / "file").write_text("")
    folders = [
        ("local", tmp_path / "blueprints"),
        ("path", tmp_path / "nowhere"),
        ("path", tmp_path / "file"),
    ]
    found = Catalogue(folders).check_folders()
    assert [(problem.code, problem.position.file) for problem in found] == [
        ("W102", str(tmp_path / "nowhere")),
        ("W102", str(tmp_path / "file")),
    ]


def test_a_broken_file_is_an_error_of_a_product_that_does_not_name_it(tmp_path: Path) -> None:
    """Loading reports the files of the folder with everything else, and warnings with the configuration."""
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "slack.yaml").write_text("name: slack\nversion: [v0\n")
    (tmp_path / "blueprints" / "Trello.yaml").write_text("")
    (tmp_path / "blueprints" / "old.v0.yaml.bak").write_text("")
    (tmp_path / "integrations.yaml").write_text("integrations:\n  a: {extends_blueprint: nowhere:v0}\n")
    catalogue = open_catalogue(tmp_path / "blueprints")
    with pytest.raises(ConfigError) as caught:
        load_configuration(tmp_path / "integrations.yaml", catalogue=catalogue, environ={})
    assert [place_and_code(found) for found in caught.value.problems] == [
        "Trello.yaml E109", "slack.yaml:3:1 E002", "integrations.yaml:2:26 E101"
    ]  # fmt: skip
    for name in ("slack.yaml", "Trello.yaml"):
        (tmp_path / "blueprints" / name).unlink()
    (tmp_path / "integrations.yaml").write_text("integrations:\n  a: {extends_blueprint: klaviyo:v0}\n")
    catalogue = open_catalogue(tmp_path / "blueprints")
    configuration = load_configuration(tmp_path / "integrations.yaml", catalogue=catalogue, environ={})
    assert "W102" in [warning.code for warning in configuration.warnings]


def test_merging_changes_neither_side_and_keeps_places() -> None:
    """The upper side wins, its nulls remove, lists are replaced; places follow the values."""
    base = settings_at(parse_document("a: {x: 1, y: {z: [1, 2]}, n: null}\nb: [1]\n", "base"))
    over = with_nulls(
        parse_document("a: {y: {z: [3], w: null}, x: null, new: {p: null, q: 1}}\nb: {c: 1}\n", "over")
    )
    assert base.settings == {"a": {"x": 1, "y": {"z": [1, 2]}}, "b": [1]}
    result = merge(base, over)
    assert result.settings == {"a": {"y": {"z": [3]}, "new": {"q": 1}}, "b": {"c": 1}}
    assert {path: str(place) for path, place in result.origins.items()} == {
        (): "over:1:1",
        ("a",): "over:1:4",
        ("a", "y"): "over:1:8",
        ("a", "y", "z"): "over:1:12",
        ("a", "y", "z", 0): "over:1:13",
        ("a", "new"): "over:1:41",
        ("a", "new", "q"): "over:1:54",
        ("b",): "over:2:4",
        ("b", "c"): "over:2:8",
    }
    assert str(result.origins.key_position(("a", "new", "q"))) == "over:1:51"
    assert str(result.origins.position(("a", "gone", "deeper"))) == "over:1:4"
    assert base.settings["a"]["x"] == 1
    assert merge(Sourced({}, base.origins), base).settings == base.settings


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """A blueprint that is a symbolic link to a file elsewhere is refused."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(f"name: linked\nversion: v0\n{BODY}")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked.v0.yaml").symlink_to(outside)
    with pytest.raises(ConfigError, match="E104"):
        Catalogue([("local", tmp_path / "in")]).find("linked:v0", AT)


@pytest.mark.parametrize("target", ["a.v0.yaml", "b.v0.yaml"])
def test_a_circle_of_links_is_an_unreadable_file(tmp_path: Path, target: str) -> None:
    """Of one link or of two; an error of Python's paths does not come out."""
    (tmp_path / "a.v0.yaml").symlink_to(target)
    (tmp_path / "b.v0.yaml").symlink_to("a.v0.yaml")
    catalogue = Catalogue([("local", tmp_path)])
    with pytest.raises(ConfigError, match="E010"):
        catalogue.find("a:v0", AT)
