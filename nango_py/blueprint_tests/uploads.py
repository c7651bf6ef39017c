"""Tests that files are uploaded to the sandbox as a blueprint says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.values import as_tuple
from nango_py.engine.upload import PIECE_BYTES
from nango_py.errors import NangoError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench

_PART = re.compile(r"\{[^}/]*\}|\*\*|\*")


def upload_differences(bench: Bench) -> Iterator[str]:
    """What is wrong with uploads of a file of two pieces, one for each entry of `endpoints`."""
    for entry in bench.settings.get("endpoints") or ():
        rules, match = entry.get("upload"), entry.get("match") or {}
        if not rules or not match.get("path"):
            continue
        path = _PART.sub("1", str(as_tuple(match["path"])[0]))
        method = str(as_tuple(match.get("method") or "POST")[0])
        params = {str(name): str(value) for name, value in (match.get("params") or {}).items()}
        where = f"an upload at {method} {printable(path)}"
        content = bytes(int(rules.get("piece_bytes", PIECE_BYTES)) + 1)
        example = next(iter(bench.examples), {})
        try:
            bench.caller(bench.served, example).executor.upload(path, content, method=method, params=params)
        except NangoError as error:
            yield f"{where} ends with an error: {error}"
            continue
        if bench.sandbox.uploads[-1:] != (content,):
            yield f"{where} does not arrive whole"
