"""The export format: one damaged bit, one line too few, one from elsewhere, and the whole file is refused."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connections.cipher import Key
from nango_py.connections.rows import Row
from nango_py.errors import StorageError, TamperError
from nango_py.secret import Secret, reveal
from nango_py.transfer import export_file
from nango_py.transfer.export_file import ExportWriter, read_export

if TYPE_CHECKING:
    from nango_py.connections.bulk import ExportedConnection

KEY = Key(bytes(range(32)))
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
UUID = "0b9c1a52-1f5e-4c43-9a3a-1f0d8f5a2c1{}"


def written(count: int = 2, key: Key = KEY) -> bytes:
    """An export with this number of connections."""
    file = io.BytesIO()
    writer = ExportWriter(file, key, NOW)
    for number in range(count):
        row = Row(UUID.format(number), "shop", f"user-{number}", 1, "active", "", b"", b"", 5, 7)
        writer.add(row, Secret(f'{{"api_key": "planted-{number}"}}'), Secret('{"list": "ü"}'))
    assert writer.finish() == count
    return file.getvalue()


def read(content: bytes, key: Key = KEY) -> list[ExportedConnection]:
    """All of an export."""
    return list(read_export(io.BytesIO(content), key, "backup"))


def test_what_was_written_is_read() -> None:
    """Every field comes back, times to the microsecond, and the file holds no name and no credential."""
    content = written()
    found = read(content)
    assert [(each.integration, each.user_id, each.uuid) for each in found] == [
        ("shop", f"user-{number}", UUID.format(number)) for number in range(2)
    ]
    assert reveal(found[1].credentials) == {"api_key": "planted-1"}
    assert found[1].additional_config == {"list": "ü"}
    assert (found[1].status, found[1].created_at, found[1].modified_at) == ("active", 5, 7)
    assert str(found[1].place) == "backup:3:1"
    head = json.loads(content.splitlines()[0])
    assert set(head) == {"format", "version", "file", "key", "created"}
    for word in (b"planted", b"shop", b"user-", base64.b64encode(b"planted")[:8]):
        assert word not in content
    assert read(written(0)) == []


def test_two_exports_of_the_same_have_nothing_in_common() -> None:
    """The name of the file and every nonce are random."""
    one, other = written().splitlines(), written().splitlines()
    assert not set(one) & set(other)


def test_an_exported_connection_shows_no_credential() -> None:
    """Its repr has stars."""
    found = read(written())[0]
    assert "planted" not in repr(found)
    assert "ü" not in repr(found)


def test_every_flipped_bit_is_noticed() -> None:
    """Of a small file each bit is flipped in turn, also in the first line and at the ends of lines."""
    content = written(1)
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            with pytest.raises(StorageError):
                read(bytes(damaged))


def test_a_file_that_was_cut_is_refused() -> None:
    """At the end of each line and in the middle of the last one."""
    content = written(3)
    lines = content.splitlines(keepends=True)
    for kept in range(len(lines)):
        with pytest.raises(StorageError):
            read(b"".join(lines[:kept]))
    for end in range(len(content) - len(lines[-1]), len(content)):
        with pytest.raises(TamperError):
            read(content[:end])


LINES = {
    "swapped": [0, 2, 1, 3],
    "doubled": [0, 1, 1, 2, 3],
    "left out": [0, 2, 3],
    "after the end": [0, 1, 2, 3, 3],
    "end too early": [0, 1, 3, 2],
    "only the end": [0, 3],
    "an empty line": [0, 1, b"\n", 2, 3],
    "a blank before": [0, 1, b" ", 2, 3],
    "anything after": [0, 1, 2, 3, b"x"],
}
"""Which of four lines a file has, in which order, and what else."""


@pytest.mark.parametrize("change", LINES)
def test_lines_stay_where_they_were_written(change: str) -> None:
    """A line that was moved, doubled, left out or added is noticed."""
    lines = written().splitlines(keepends=True)
    with pytest.raises(TamperError):
        read(b"".join(each if isinstance(each, bytes) else lines[each] for each in LINES[change]))
    with pytest.raises(TamperError):
        read(written().replace(b"\n", b"\r\n").replace(b"}\r\n", b"}\n"))


def test_lines_of_two_files_do_not_mix() -> None:
    """A line of another export under the same key, and the first line of another one, are noticed."""
    one, other = (written().splitlines(keepends=True) for _ in range(2))
    with pytest.raises(TamperError, match=r"backup:2: .*altered"):
        read(b"".join([one[0], other[1], *one[2:]]))
    with pytest.raises(TamperError):
        read(b"".join([other[0], *one[1:]]))


def test_without_associated_data_a_swap_would_pass() -> None:
    """The control: a format that binds a line to nothing reads the same file with two users exchanged."""
    head, *lines = written().splitlines()
    texts = [
        KEY.open(base64.b64decode(line), export_file.associated_data(head, at))
        for at, line in enumerate(lines, start=1)
    ]
    first, second, _ = (KEY.seal(text or b"", b"") for text in texts)
    swapped = [json.loads(KEY.open(line, b"") or b"") for line in (second, first)]
    assert [each["user_id"] for each in swapped] == ["user-1", "user-0"]


def test_another_key_is_named() -> None:
    """The message has the ids of both keys, and neither key."""
    other = Key(bytes(32))
    with pytest.raises(StorageError, match=f"sealed with the key {KEY.id}; the key given is {other.id}"):
        read(written(), other)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an export"),
        (b"integrations:\n", "not an export"),
        (b'{"format": "nango connections"\n', "not an export"),
        (b'{"format": "nango connections", "version": 2}\n', "format version 2"),
        (b'{"format": "nango connections", "version": 1}\n', "sealed with the key None"),
        (b"\xff\xfe" * 40 + b"\n", "not an export"),
        (b"x" * 100, "not an export"),
    ],
)
def test_another_file_is_named(content: bytes, said: str) -> None:
    """The message says if a file is not an export or has a newer format."""
    with pytest.raises(StorageError, match=said):
        read(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uuid": "1"}, "uuid is not a UUID"),
        ({"status": "gone"}, "status must be one of active, needs_reauth, needs_choice"),
        ({"date_created": "yesterday"}, "date_created .*date"),
        ({"user_id": 7}, "user_id is missing or not text"),
        ({"credentials": "planted"}, "credentials is missing or not an object"),
    ],
)
def test_an_invalid_line_is_reported_with_its_position(change: dict[str, Any], said: str) -> None:
    """Its place and its fault are said, and nothing of its values."""
    values = {
        "integration": "shop", "user_id": "u", "uuid": UUID.format(1), "status": "active",
        "date_created": "2026-01-01", "last_modified": "2026-01-01",
        "credentials": {}, "additional_config": {},
    }  # fmt: skip
    with pytest.raises(StorageError, match=f"backup:2:1: {said}") as caught:
        read(sealed_by_hand({**values, **change}))
    assert "planted" not in str(caught.value)


def test_a_line_that_is_not_an_object_is_reported() -> None:
    """A line must be a JSON object."""
    with pytest.raises(StorageError, match=r"backup:2:1: .*object"):
        read(sealed_by_hand([1]))


def sealed_by_hand(value: Any) -> bytes:
    """An export with one line of somebody else's making."""
    head = written(0).splitlines()[0]
    lines = [value, {"end": 1}]
    sealed = [
        KEY.seal(json.dumps(line).encode(), export_file.associated_data(head, number))
        for number, line in enumerate(lines, start=1)
    ]
    return b"\n".join([head, *map(base64.b64encode, sealed), b""])
