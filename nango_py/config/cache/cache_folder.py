"""Caches checked configurations in `.nango/`, so that a start need not parse and check unchanged files.

Each entry is signed (HMAC-SHA-256) and holds the digests of everything that the configuration was made from.
If anything is wrong with the entry or the folder, the files are read instead.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.cache.fingerprint import LoadInputs
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.config.loading import LoadResult
    from nango_py.config.model import Configuration
    from nango_py.json_types import Settings

MAX_BYTES = 67_108_864
"""Some 3,000 integrations. A start reads them all, but makes only those that it uses."""

MANY_INTEGRATIONS = 100
"""From this number on, a configuration that cannot be cached is a warning: a start takes a second."""

MAX_ENTRIES = 8
MAX_AGE_SECONDS = 30 * 86_400
_PURPOSE = b"nango_py checked forms 1"
_PREFIX, _SUFFIX = "checked-", ".json"

logger = logging.getLogger("nango_py.config")


class ConfigCache:
    """Cached configurations in a folder. Without the folder, or write access to it, nothing is cached.

    Args:
        folder: `.nango/`; it is never created here.
        key: a secret text, such as the encryption keys; the signing key is derived from it.
        clock: the time.
    """

    def __init__(self, folder: Path, key: Secret, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folder = folder
        self._key = Secret(
            hmac.digest(key.reveal().encode(errors="surrogateescape"), _PURPOSE, "sha256").hex()
        )
        self._clock = clock

    def inputs(
        self,
        source: Path | Settings,
        overrides: Mapping[str, Settings] | None,
        blueprints: Path,
        environ: Mapping[str, str],
    ) -> LoadInputs:
        """The arguments of one load."""
        return LoadInputs(source, overrides, blueprints, environ, self._key, self._clock)

    def load(self, inputs: LoadInputs) -> Configuration | None:
        """The cached configuration of exactly these inputs, or None."""
        try:
            raw = self._path(inputs).read_bytes()
            signature, _, body = raw.partition(b"\n")
            if not hmac.compare_digest(signature, inputs.sign(body).encode()):
                return None
            line, *lines = body.split(b"\n")
            fingerprint = json.loads(line)
            if not inputs.matches(fingerprint):
                return None
            return _read(lines, fingerprint, inputs)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            # Only the type: the message could contain a piece of a file.
            logger.debug("no cached configuration is used: %s", type(error).__name__)
        return None

    def save(self, inputs: LoadInputs, loaded: LoadResult) -> bool:
        """Cache what was loaded; returns whether it is cached now."""
        from nango_py.config.cache.serialized import NotSerializableError, serialize

        reason = ""
        try:
            if not self._folder.is_dir():
                return False
            fingerprint = inputs.make_fingerprint(loaded)
            if fingerprint is None:
                return False
            first = json.dumps(fingerprint, separators=(",", ":")).encode()
            body = b"\n".join([first, *serialize(loaded, _texts(inputs))])
            if len(body) <= MAX_BYTES:
                self._replace(self._path(inputs), inputs.sign(body).encode() + b"\n" + body)
                return True
            reason = f"it takes {len(body)} bytes, and at most {MAX_BYTES} are kept"
        except NotSerializableError as error:
            reason = str(error)
        except (OSError, ValueError, LookupError, TypeError) as error:
            # Only the type: the message could contain a piece of a file.
            reason = type(error).__name__
        level = logging.WARNING if len(loaded.trees) >= MANY_INTEGRATIONS else logging.INFO
        logger.log(level, "the configuration is not cached, so each start checks all files: %s", reason)
        return False

    def _path(self, inputs: LoadInputs) -> Path:
        return self._folder / f"{_PREFIX}{inputs.name()}{_SUFFIX}"

    def _replace(self, path: Path, raw: bytes) -> None:
        """Replace the file atomically; its signature shows damage by a power cut."""
        draft = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
        try:
            descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
            draft.replace(path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        self._remove_old(path)

    def _remove_old(self, newest: Path) -> None:
        """Keep the newest entries that are at most a month old."""
        ages: list[tuple[float, Path]] = []
        for path in self._folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                ages.append((self._clock.now() - path.stat().st_mtime, path))
        others = sorted((age, path) for age, path in ages if path != newest)
        for place, (age, path) in enumerate(others, start=1):
            if place >= MAX_ENTRIES or age > MAX_AGE_SECONDS:
                with contextlib.suppress(OSError):
                    path.unlink()


def _read(lines: list[bytes], fingerprint: Any, inputs: LoadInputs) -> Configuration:
    from nango_py.config.cache.serialized import deserialize

    folder = inputs.source.parent if isinstance(inputs.source, Path) else None
    # A copy, because integrations are made later, and the environment may change until then.
    environ = {name: inputs.environ[name] for name in fingerprint["names"] if name in inputs.environ}
    return deserialize(lines, _texts(inputs), environ, folder)


def _texts(inputs: LoadInputs) -> Any:
    from nango_py.config.cache.serialized import Texts

    return Texts(inputs.text.decode("utf-8-sig"), inputs.settings(), inputs.overrides)
