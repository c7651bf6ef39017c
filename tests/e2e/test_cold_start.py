"""A fresh process with files it has seen before goes straight to the call."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from tests.support.fault_server import READ, FaultServer, response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "pk_planted_0123456789abcdef"

CALL = """
    import json, sys
    from nango_py import Nango
    with Nango(sys.argv[1]) as nango:
        response = nango.executor("klaviyo", "user-1").get("metrics/")
        known = {"status": response.status_code, "body": response.json()}
    print(json.dumps({**known, "modules": sorted(sys.modules)}))
"""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """An API that returns a small JSON text for every request."""
    with FaultServer(
        [READ, response(b'{"data": []}', headers={"Content-Type": "application/json"})]
    ) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path, server: FaultServer) -> Path:
    """An integrations.yaml on disk, and one stored connection."""
    path = tmp_path / "integrations.yaml"
    path.write_text(f"""\
integrations:
  klaviyo:
    extends_blueprint: klaviyo:v1
    requests: {{base_url: "{server.url.rstrip("/")}/api/"}}
""")
    with Nango(path) as nango:
        nango.register_connection("klaviyo", "user-1", {"api_key": KEY})
    return path


def called(file: Path) -> dict[str, Any]:
    """What a fresh process finds, and the modules it has imported by then."""
    code = textwrap.dedent(CALL)
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_second_process_parses_and_checks_nothing(file: Path, server: FaultServer) -> None:
    """Files that were checked before need no YAML, JSON Schema or Jinja, and the call is the same."""
    first, second = called(file), called(file)
    assert "yaml" in first["modules"]
    heavy = {"yaml", "jsonschema", "referencing", "jinja2", "asyncio", "psycopg", "redis", "click"}
    assert heavy.isdisjoint(second["modules"])
    own = {name for name in second["modules"] if name.startswith("nango_py.config.")}
    checks = {
        "yaml.document",
        "yaml.reader",
        "schema.validation",
        "schema.wording",
        "template.checks",
        "catalogue",
        "loading",
    }
    assert own.isdisjoint({f"nango_py.config.{name}" for name in checks})
    assert (first["status"], first["body"]) == (second["status"], second["body"]) == (200, {"data": []})
    sent = [request.partition(b"\r\n\r\n")[0].lower() for request in server.requests]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert f"authorization: klaviyo-api-key {KEY}".encode() in sent[0]


def test_what_the_first_process_leaves_is_private_and_holds_no_credential(file: Path) -> None:
    """Everything in `.nango/` is for its owner only, and the API key is in none of it."""
    called(file)
    left = sorted(path for path in (file.parent / ".nango").iterdir() if path.is_file())
    assert any(path.name.startswith("checked-") for path in left)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in left)
    assert not any(KEY.encode() in path.read_bytes() for path in left)


def test_a_changed_file_is_read(file: Path) -> None:
    """The process that meets a changed file parses it again, and finds what is wrong with it."""
    called(file)
    text = file.read_text()
    file.write_text(text.replace("extends_blueprint: klaviyo:v1", "extends_blueprint: klaviyo:v0"))
    assert "yaml" in called(file)["modules"]
    file.write_text(text.replace("base_url", "base_ulr"))
    with pytest.raises(subprocess.CalledProcessError) as wrong:
        called(file)
    assert "base_ulr" in wrong.value.stderr
