"""Calls import nothing, so that without a free file descriptor they end in the errors of this package."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nango_py import Nango
from tests.support.recording_server import Received, RecordingServer, Reply
from tests.support.transfer_products import an_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS = """
    import asyncio, errno, importlib.abc, inspect, io, json, os, resource, sys
    from nango_py import Nango, NangoError

    imports, results, words = [], {}, sys.argv[2:]
    is_async, is_full, is_loaded_late = ("async" in words, "full" in words, "late" in words)

    class Recorder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if not name.startswith("encodings."):  # chosen by the server
                imports.append(name)

    def calls(by_name):
        api, options = by_name["api"], {"deadline_seconds": 5}
        yield "get", lambda: api.get("records", **options)
        yield "limits", lambda: api.limits()
        yield "explain", lambda: api.explain()
        yield "plan", lambda: str(api.plan("GET", "records"))
        yield "error", lambda: api.get("missing", raise_for_error=True, **options)
        yield "retried", lambda: api.get("flaky", **options)
        yield "paced", lambda: api.get("limited", **options)
        yield "compressed", lambda: api.get("gzip", **options)
        yield "json", lambda: api.post("records", json={"a": 1}, **options)
        yield "form", lambda: api.post("records", data={"a": 1}, **options)
        yield "files", lambda: api.post("records", files={"f": io.BytesIO(b"x")}, **options)
        yield "pages", lambda: read_all(api.paginate("records", max_pages=2))
        yield "deprecated", lambda: api.get("deprecated", **options)
        yield "other base", lambda: api.at("other").get("records", **options)
        yield "verify", lambda: api.verify()
        yield "download", lambda: api.download("records", sys.argv[1] + "/file", **options)
        yield "redirect", lambda: api.get("moved", **options)
        yield "wrong path", lambda: api.get("../other", **options)
        yield "wrong option", lambda: api.get("records", parms={})
        yield "wrong host", lambda: by_name["lost"].get("records", **options)
        for name in by_name:
            yield name, lambda name=name: by_name[name].get(name, **options)
        yield "closing", lambda: api.get("closing", **options)
        yield "not connected", lambda: api.get("records", **options)

    def read_all(records):
        if not hasattr(records, "__aiter__"):
            return list(records)
        async def read():
            return [record async for record in records]
        return read()

    async def run(nango):
        names = nango.configuration.integrations
        make = nango.async_executor if is_async else nango.executor
        by_name = {name: make(name, "u") for name in names}
        if is_full:
            await finish(by_name["api"].get("records"))  # its connection is kept
            resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
        sys.meta_path.insert(0, Recorder())
        if is_loaded_late:
            import wave
        for name, call in calls(by_name):
            before = len(imports)
            if is_full:
                for _ in range(5 if is_async else 0):
                    await asyncio.sleep(0)  # the event loop closes sockets one turn later
                take_all_descriptors()
            try:
                found = await finish(call())
                results[name] = getattr(found, "status_code", None) or getattr(found, "outcome", "done")
            except NangoError as error:
                results[name] = getattr(error, "reason", "") or type(error).__name__
            except Exception as error:
                results[name] = f"{type(error).__mro__[1].__name__}: {error!r}"
            if imports[before:]:
                results[name] = f"imports {imports[before:]}"
        if is_full:
            for descriptor in taken:
                os.close(descriptor)
            results["afterwards"] = (await finish(by_name["api"].get("records"))).status_code

    taken = []

    def take_all_descriptors():
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE

    async def finish(value):
        return await value if inspect.isawaitable(value) else value

    async def main():
        async with Nango(sys.argv[1] + "/integrations.yaml") as nango:
            await run(nango)

    def run_sync(coroutine):
        try:
            while True:
                coroutine.send(None)
        except StopIteration:
            pass

    if is_async:
        asyncio.run(main())
    else:
        with Nango(sys.argv[1] + "/integrations.yaml") as nango:
            run_sync(run(nango))
    print(json.dumps({"results": results, "imports": imports}))
"""


class Api:
    """An API with a token endpoint; a few paths misbehave the first time."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def respond(self, request: Received) -> Any:
        """The response to one request."""
        path = request.target.partition("?")[0].strip("/")
        is_first = path not in self.seen
        self.seen.add(path)
        if path == "token":
            return {"access_token": "t" * 20, "token": "t" * 20, "expires_in": 3600, "token_type": "bearer"}
        if path == "missing":
            return Reply({"error": {"message": "no such record"}}, 404)
        if path == "moved":
            return Reply(None, 302, (("Location", "records"),))
        if path == "deprecated":
            return Reply(
                {}, 200, (("Deprecation", "@1700000000"), ("Sunset", "Wed, 11 Nov 2037 11:11:11 GMT"))
            )
        if path == "closing":
            return Reply({}, 200, (("Connection", "close"),))
        if path == "gzip":
            import gzip

            return Reply(gzip.compress(b"{}"), 200, (("Content-Encoding", "gzip"),))
        if path == "digest" and "authorization" not in request.headers:
            challenge = 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"'
            return Reply(None, 401, (("WWW-Authenticate", challenge),))
        if is_first and path == "flaky":
            return Reply(None, 503)
        if is_first and path == "limited":
            return Reply({"message": "slow down"}, 429, (("Retry-After", "0.01"),))
        return {"records": [{"id": request.target}]}


MODES = ("oauth2", "client", "assertion", "jwt", "two-step", "oauth1", "digest", "signature", "sigv4")
"""The integrations whose auth mode has a protocol to load."""


def write_product(folder: Path, url: str) -> None:
    """One integration of each auth mode, and connections whose tokens have to be fetched first."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    token = {"access_token": "a" * 20, "refresh_token": "r" * 20, "expires_at": 1_000_000_000}
    login = {"username": "ada", "password": "pass_example_1234"}
    credentials: dict[str, tuple[str, dict[str, Any]]] = {
        "api": ("API_KEY", {"api_key": "key_planted_0001"}),
        "lost": ("API_KEY", {"api_key": "key_planted_0001"}),
        "oauth2": ("OAUTH2", token),
        "client": ("OAUTH2_CC", {"client_id": "id", "client_secret": "secret_planted_1"}),
        "assertion": ("OAUTH2_JWT", {"private_key": key.decode()}),
        "jwt": ("JWT", {"private_key": "k" * 32}),
        "two-step": ("TWO_STEP", login),
        "oauth1": ("OAUTH1", {"oauth_token": "token_planted_1", "oauth_token_secret": "secret_planted_1"}),
        "digest": ("DIGEST", login),
        "basic": ("USERNAME_PASSWORD", login),
        "signature": ("SIGNATURE", {"api_key": "key_planted_0001", "api_secret": "secret_planted_1"}),
        "sigv4": ("AWS_SIGV4", {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret_planted_1"}),
    }
    entries = {}
    for name, (mode, _) in credentials.items():
        entry = an_entry(mode)
        entry["requests"]["base_url"] = "http://127.0.0.1:9/" if name == "lost" else url
        entry["retries"] = {"max_attempts": 3, "backoff": {"base_seconds": 0.01, "max_seconds": 0.01}}
        if "token_url" in entry["auth"]:
            entry["auth"]["token_url"] = f"{url}token"
        entries[name] = entry
    entries["api"]["requests"]["bases"] = {"other": f"{url}other/"}
    entries["api"] |= {
        "rate_limits": {"budgets": [{"key": "all", "otherwise": ["100/second", "50/minute"]}]},
        "verification": {"method": "GET", "path": "records"},
        "errors": {"message": "error.message || message"},
        "pagination": {
            "kind": "offset", "param": "offset", "limit_param": "limit", "limit": 1, "records": "records[]",
        },
    }  # fmt: skip
    path = folder / "integrations.yaml"
    path.write_text(json.dumps({"integrations": entries}))
    with Nango(path) as nango:
        for name, (_, values) in credentials.items():
            nango.register_connection(name, "u", values)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A product whose API runs."""
    with RecordingServer(Api().respond) as server:
        write_product(tmp_path, server.url)
        yield tmp_path


def run(folder: Path, *words: str) -> dict[str, Any]:
    """The results of all calls in a separate process, and the modules that it imported."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CALLS), str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_call_imports_a_module(folder: Path, kind: str) -> None:
    """Whatever a call does for the first time was loaded when its executor was made."""
    found = run(folder, kind)
    assert found["imports"] == []
    expected = {
        **dict.fromkeys(MODES, 200),
        "error": "ProviderError",
        "retried": 200,
        "paced": 200,
        "verify": "accepted",
        "download": 200,
        "wrong path": "InvalidRequest",
        "wrong host": "connect",
        "not connected": 200,
    }
    assert {name: found["results"][name] for name in expected} == expected


def test_the_recorder_sees_an_import(folder: Path) -> None:
    """The control: a module that is loaded late is in the list."""
    assert "wave" in run(folder, "sync", "late")["imports"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_without_a_free_descriptor_end_in_our_errors(folder: Path, kind: str) -> None:
    """Kept connections serve; new ones fail to connect; only a file of the caller's is an OSError."""
    found = run(folder, kind, "full")
    results = found["results"]
    assert found["imports"] == []
    assert {name: results[name] for name in ("retried", "paced", "pages", "files")} == {
        "retried": 200, "paced": 200, "pages": "done", "files": 200,
    }  # fmt: skip
    assert results["not connected"] in {"connect", "StorageError"}  # the store needs a descriptor first
    assert {results[name] for name in MODES} <= {200, "connect", "token", "StorageError"}
    assert results["download"].startswith("Exception: OSError(24")
    unexpected = [name for name, result in results.items() if "Error(" in str(result)]
    assert unexpected == ["download", "wrong option"]
    assert results["afterwards"] == 200
