"""The checked form of files that did not change since they were checked, kept in `.nango/`.

A start finds there what it would find out by parsing and checking again. A form is never believed because of
where it lies: it is sealed with a key (HMAC-SHA-256), and it holds the digests of everything that took part.
Whatever is wrong with it, or with the folder, the files are read instead.
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
from nango_py.config.cache.fingerprint import Inputs
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.config.loading import Loaded
    from nango_py.config.model import Configuration

MAX_BYTES = 4_194_304
MAX_FORMS = 8
MAX_AGE_SECONDS = 30 * 86_400
_PURPOSE = b"nango_py checked forms 1"
_PREFIX, _SUFFIX = "checked-", ".json"

logger = logging.getLogger("nango_py.config")


class ConfigCache:
    """Forms in a folder. Without the folder, or the right to write there, nothing is kept.

    Args:
        folder: `.nango/`; it is never made here.
        key: a text that others cannot read, such as the one that holds the encryption keys; what seals the
            forms is derived from it.
        clock: the time.
    """

    def __init__(self, folder: Path, key: Secret, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folder = folder
        self._key = Secret(hmac.digest(key.reveal().encode(), _PURPOSE, "sha256").hex())
        self._clock = clock

    def inputs(
        self,
        source: Path | Mapping[str, Any],
        overrides: Mapping[str, Mapping[str, Any]] | None,
        blueprints: Path,
        environ: Mapping[str, str],
    ) -> Inputs:
        """What one load starts from; see `Inputs`."""
        return Inputs(source, overrides, blueprints, environ, self._key, self._clock)

    def load(self, inputs: Inputs) -> Configuration | None:
        """The configuration, if a form of exactly these inputs is kept."""
        try:
            raw = self._path(inputs).read_bytes()
            seal, _, body = raw.partition(b"\n")
            if not hmac.compare_digest(seal, inputs.seal(body).encode()):
                return None
            stamp, form, *places = body.split(b"\n")
            if not inputs.match(json.loads(stamp)):
                return None
            return _read(json.loads(form), places, inputs)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            # Only the kind: the message could hold a piece of a file.
            logger.debug("no checked form is used: %s", type(error).__name__)
        return None

    def save(self, inputs: Inputs, loaded: Loaded) -> bool:
        """Keep the form of what was loaded; whether it is kept now."""
        from nango_py.config.cache.serialized import NotSerializableError, serialize

        try:
            if not self._folder.is_dir():
                return False
            stamp = inputs.stamp(loaded)
            if stamp is None:
                return False
            form, places = serialize(loaded, _texts(inputs))
            body = "\n".join([_line(stamp), _line(form), *places]).encode()
            raw = inputs.seal(body).encode() + b"\n" + body
            if len(raw) > MAX_BYTES:
                return False
            self._replace(self._path(inputs), raw)
        except (NotSerializableError, OSError, ValueError, LookupError, TypeError) as error:
            logger.debug("no checked form is kept: %s", type(error).__name__)
            return False
        return True

    def _path(self, inputs: Inputs) -> Path:
        return self._folder / f"{_PREFIX}{inputs.name()}{_SUFFIX}"

    def _replace(self, path: Path, raw: bytes) -> None:
        """Write the file whole or not at all; a power cut may spoil it, which its seal shows."""
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
        """Keep the newest forms, and none for longer than a month after it was written."""
        ages: list[tuple[float, Path]] = []
        for path in self._folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                ages.append((self._clock.now() - path.stat().st_mtime, path))
        others = sorted((age, path) for age, path in ages if path != newest)
        for place, (age, path) in enumerate(others, start=1):
            if place >= MAX_FORMS or age > MAX_AGE_SECONDS:
                with contextlib.suppress(OSError):
                    path.unlink()


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _read(form: Any, places: list[bytes], inputs: Inputs) -> Configuration:
    from nango_py.config.cache.serialized import deserialize

    folder = inputs.source.parent if isinstance(inputs.source, Path) else None
    return deserialize(form, places, _texts(inputs), inputs.environ, folder)


def _texts(inputs: Inputs) -> Any:
    from nango_py.config.cache.serialized import Texts

    return Texts(inputs.text.decode("utf-8-sig"), inputs.whole(), inputs.overrides)
