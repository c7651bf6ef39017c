"""Uses that cannot work say what to do instead."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import AsyncExecutor, Executor, InvalidRequest, Nango
from nango_py.engine import call_arguments
from nango_py.record import field_names
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def nango() -> Iterator[Nango]:
    """A Nango in memory with one connection."""
    entry = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://x.test/"}}
    with Nango(
        {"shop": entry}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    ) as nango:
        nango.register_connection("shop", "u", {"api_key": "key_test_1234"})
        yield nango


def test_pickling_says_what_to_do(nango: Nango) -> None:
    """A task queue gets names, and not executors."""
    for part, says in (
        (nango, "open one in each process"), (nango.executor("shop", "u"), "nango.executor"),
        (nango.async_executor("shop", "u"), "nango.executor"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=says):
            pickle.dumps(part)


USES: list[Callable[[Nango, Any], object]] = [
    lambda nango, user: nango.executor("shop", user),
    lambda nango, user: nango.async_executor("shop", user),
    lambda nango, user: nango.session("shop", user),
    lambda nango, user: nango.adapter("shop", user),
    lambda nango, user: nango.httpx_transport("shop", user),
    lambda nango, user: nango.register_connection("shop", user, {"api_key": "k"}),
    lambda nango, user: nango.verify_credentials("shop", user, {"api_key": "k"}),
    lambda nango, user: nango.connection("shop", user),
    lambda nango, user: nango.connections_for_user(user),
    lambda nango, user: nango.delete_connection("shop", user),
    lambda nango, user: nango.connect_session(user),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("user", [7, None, b"u", 1.5, ["u"], {"id": "u"}], ids=repr)
def test_user_id_that_is_not_text_is_a_type_error(
    nango: Nango, use: Callable[[Nango, Any], object], user: object
) -> None:
    """The message shows how to convert it."""
    with pytest.raises(TypeError, match=r"expected text: str\(user\.id\)"):
        use(nango, user)


def test_time_zones_come_with_the_package() -> None:
    """Slim images have no time zone data."""
    assert "tzdata" in (requires("nango-py") or [])


def nested(kind: type, depth: int = 100_000) -> Any:
    """A list or mapping of that many levels."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


DEEP: dict[str, dict[str, Any]] = {
    "params": {"params": {"q": nested(list)}},
    "params of a list": {"params": {"q": [nested(dict)]}},
    "pairs": {"params": [("q", nested(list))]},
    "data": {"data": {"q": nested(list)}},
    "json": {"json": nested(dict)},
    "body": {"body": nested(dict)},
    "files": {"files": {"f": b"x"}, "data": {"q": nested(list)}},
    "headers": {"headers": {"X-A": nested(list)}},
    "a number in params": {"params": {"q": 10**5000}},
    "a number in data": {"data": {"q": 10**5000}},
    "a number in json": {"json": [10**5000]},
}


@EXECUTORS
@pytest.mark.parametrize("name", DEEP)
def test_arguments_that_cannot_be_written_are_refused(name: str, run: Any) -> None:
    """Values of thousands of levels or digits are an InvalidRequest, and nothing is sent."""
    entry = {
        "auth": {"auth_mode": "NONE"},
        "requests": {"base_url": "http://127.0.0.1:9/", "body_format": "bracketed_form"},
        "retries": {"max_attempts": 1},
    }
    with open_product(entry, credentials={}) as nango, pytest.raises(InvalidRequest) as caught:
        run(nango, lambda executor: executor.post("x", **DEEP[name]))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("kind", [Executor, AsyncExecutor])
def test_options_are_typed(kind: type) -> None:
    """Editors and mypy know the keyword arguments of each method, and those are the ones that are taken."""
    methods = [member for name, member in inspect.getmembers(kind, callable) if not name.startswith("_")]
    given = [each for method in methods for each in inspect.signature(method).parameters.values()]
    annotations = [each.annotation for each in given if each.kind is each.VAR_KEYWORD]
    assert len(annotations) >= 12
    assert all(re.fullmatch(r"Unpack\[[A-Za-z]+\]", written) for written in annotations)
    tree = ast.parse(Path(call_arguments.__file__).read_text(encoding="utf-8"))
    typed = [
        node for node in ast.walk(tree) if getattr(node, "name", "") in {"CallOptions", "DownloadOptions"}
    ]
    names = {each.target.id for node in typed for each in node.body if isinstance(each, ast.AnnAssign)}  # type: ignore[attr-defined]
    assert names == set(field_names(call_arguments.Call)) - {"method", "path", "base"}
