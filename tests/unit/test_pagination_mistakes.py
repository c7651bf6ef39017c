"""Wrong forms of `pagination:`, each with its place, and how a block is merged over another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from nango_py.config.pagination_call import merge_pagination
from nango_py.config.schema.validation import check_blueprint
from nango_py.config.yaml.document import load_document
from nango_py.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
name: acme
version: v0
auth: {auth_mode: API_KEY}
requests: {base_url: "https://api.acme.test/", headers: {Authorization: "${api_key}"}}
pagination: %s
"""
ENTRY: dict[str, Any] = {"integrations": {"acme": {"extends_blueprint": "acme:v0"}}}


def settings_of(folder: Path, block: str, over: dict[str, Any] | None = None) -> Any:
    """The merged `pagination:` of an integration whose blueprint has a block."""
    (folder / "acme.v0.yaml").write_text(FILE % block)
    entry = {"extends_blueprint": "acme:v0", **({} if over is None else {"pagination": over})}
    catalogue = Catalogue([("local", folder)])
    return (
        load_configuration({"acme": entry}, catalogue=catalogue).integrations["acme"].settings["pagination"]
    )


WRONG = {
    "{records: a}": ["5:1 E203"],
    "{next: a}": ["5:1 E203"],
    "{kind: nextt, next: a}": ["5:20 E204"],
    "{kind: next}": ["5:1 E203"],
    "{next: {from: a}}": ["5:14 E203"],
    "{next: {to: {param: a}}}": ["5:14 E203"],
    "{next: {from: a, to: {param: a, body: b}}}": ["5:45 E204"],
    "{next: {from: a, to: {}}}": ["5:34 E203"],
    "{next: {from: a, to: {parm: a}}}": ["5:35 E202"],
    "{next: {from: a, to: after}}": ["5:34 E201"],
    "{next: {from: a, to: {body: a..b}}}": ["5:41 E204"],
    "{next: {from: a, to: {url: false}}}": ["5:40 E204"],
    "{next: {from: {header: 5}, to: {url: true}}}": ["5:36 E206"],
    "{next: {from: {status: true, link: next}, to: {url: true}}}": ["5:42 E204"],
    "{next: {from: 'a[', to: {param: a}}}": ["5:27 E324"],
    "{next: {from: a, to: {param: a}, more: '@b'}}": ["5:52 E324"],
    "{next: {from: a, to: {param: a}, method: get}}": ["5:54 E204"],
    "{next: {from: a, to: {segment: page}}}": ["5:44 E203"],
    "{next: {from: a, to: {segment: page}, path: 'p/{pag}'}}": ["5:44 E203", "5:57 E204"],
    "{next: {from: a, to: {param: page}, path: 'p/{page}'}}": ["5:55 E204"],
    "{next: {from: a, to: {url: true}, path: p}}": ["5:47 E204"],
    "{next: {from: a, to: {param: a}}, total: b}": ["5:47 E202"],
    "{next: {from: a, to: {param: a}}, relative_to: origin}": ["5:60 E204"],
    "{kind: single, size: 100}": ["5:34 E201"],
    "{kind: single, size: {value: 100}}": ["5:28 E203"],
    "{kind: single, size: {param: a, body: b, value: 1}}": ["5:45 E204"],
    "{kind: single, size: {param: a, value: 200, max: 100}}": ["5:52 E401"],
    "{kind: single, size: {param: a, value: 0}}": ["5:52 E401"],
    "{kind: single, size: {param: a, max: '100'}}": ["5:50 E201"],
    "{kind: page}": ["5:1 E203"],
    "{kind: page, param: a, to: {body: b}}": ["5:26 E204"],
    "{kind: offset, to: {header: X Page}}": ["5:41 E313"],
    "{kind: offset, to: {param: ''}}": ["5:40 E203"],
    "{kind: offset, to: {param: q}, phrase: START}": ["5:44 E203"],
    "{kind: offset, param: q, phrase: 'START 1'}": ["5:46 E204"],
    "{kind: single, size: {body: q, phrase: LIMIT, value: 1}}": ["5:44 E203"],
    "{kind: cursor, cursor: {heder: a}, param: a}": ["5:37 E202"],
    "{kind: cursor, cursor: a, param: a, relative_to: base_url}": ["5:49 E202"],
}


@pytest.mark.parametrize("block", WRONG)
def test_a_wrong_form_is_an_error_at_its_place(block: str, tmp_path: Path) -> None:
    """The file names line and column of each mistake, and nothing is sent."""
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, block)
    found = [f"{one.position.line}:{one.position.column} {one.code}" for one in caught.value.problems]
    assert found == WRONG[block]


@pytest.mark.parametrize(
    ("base", "own", "found"),
    [
        ("{kind: single}", "{size: {max: 5}}", ["7:35 E203"]),
        ("{kind: single, size: {param: n}}", "{size: {max: 5}}", []),
        ("{kind: single}", "{kind: page}", ["7:22 E203"]),
        ("{kind: single}", "{size: 5}", ["7:41 E201"]),
    ],
)
def test_pagination_of_an_endpoint(base: str, own: str, found: list[str], tmp_path: Path) -> None:
    """A file that extends nothing is checked with the pagination of each endpoint over its own, once."""
    text = (
        "name: acme\nversion: v1\nauth: {auth_mode: NONE}\nrequests: {base_url: 'https://a.test/'}\n"
        f"pagination: {base}\nendpoints:\n- {{match: {{path: a}}, pagination: {own}}}\n"
    )
    path = tmp_path / "acme.v1.yaml"
    path.write_text(text)
    problems = check_blueprint(load_document(path))
    assert [f"{one.position.line}:{one.position.column} {one.code}" for one in problems] == found


@pytest.mark.parametrize("block", WRONG)
def test_a_wrong_form_in_a_call_is_an_error_too(block: str) -> None:
    """`paginate(..., pagination={...})` is checked like a file; places are the paths of the keys."""
    import yaml

    with pytest.raises(ConfigError) as caught:
        merge_pagination({}, yaml.safe_load(block))
    codes = sorted(problem.code for problem in caught.value.problems)
    assert codes == sorted(one.split()[1] for one in WRONG[block])
    assert all(problem.position.file.startswith("pagination=") for problem in caught.value.problems)


@pytest.mark.parametrize("given", [5, "cursor", [1], {"records": {1}}, {1: "a"}])
def test_a_call_must_give_a_mapping(given: Any) -> None:
    """Anything else than settings as in a file is a ConfigError."""
    with pytest.raises(ConfigError):
        merge_pagination({}, given)


GENERAL = (
    "{next: {from: a.b, to: {param: after}, more: c}, size: {param: limit, value: 10, max: 50}, records: d}"
)


def test_the_general_kind_needs_no_kind(tmp_path: Path) -> None:
    """The control: the same forms, written right, pass."""
    found = settings_of(tmp_path, GENERAL)
    assert found["next"]["to"] == {"param": "after"}
    for right in (
        "{next: {from: {link: next}, to: {url: true}}, relative_to: base_url}",
        "{kind: next, next: {from: a, to: {segment: n}, path: '{path}/{n}', method: GET}}",
        "{kind: offset, to: {body: page.from}, start: 1, total: {header: X-Total}}",
        "{kind: cursor, cursor: {header: X-Next}, param: after, has_more: {header: X-More}}",
    ):
        assert settings_of(tmp_path, right)


def test_a_pointer_replaces_a_pointer(tmp_path: Path) -> None:
    """An override names another place without removing the first; its other keys stay."""
    found = settings_of(
        tmp_path, GENERAL, {"next": {"to": {"body": "page.after"}}, "size": {"body": "page.size"}}
    )
    assert dict(found["next"]["to"]) == {"body": "page.after"}
    assert (found["next"]["from"], found["next"]["more"]) == ("a.b", "c")
    assert dict(found["size"]) == {"value": 10, "max": 50, "body": "page.size"}
    found = settings_of(tmp_path, GENERAL, {"size": {"max": 5}})
    assert dict(found["size"]) == {"param": "limit", "max": 5}
    found = settings_of(tmp_path, GENERAL, {"next": {"more": None}, "size": {"value": 20}})
    assert dict(found["next"]) == {"from": "a.b", "to": {"param": "after"}}
    assert dict(found["size"]) == {"param": "limit", "value": 20, "max": 50}


def test_another_kind_keeps_only_the_records(tmp_path: Path) -> None:
    """The general kind and the short forms replace each other."""
    found = settings_of(tmp_path, GENERAL, {"kind": "page", "param": "page"})
    assert dict(found) == {"kind": "page", "param": "page", "records": "d"}
    found = settings_of(
        tmp_path,
        "{kind: next_url, next: links.next, records: d}",
        {"next": {"from": "a", "to": {"param": "b"}}},
    )
    assert dict(found) == {"next": {"from": "a", "to": {"param": "b"}}, "records": "d"}
