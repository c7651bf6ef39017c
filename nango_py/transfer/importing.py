"""Into a store: everything is read and checked first, and only then is anything written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nango_py.auth.base import validate_credentials
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.connections.bulk import (
    BATCH_SIZE,
    ON_EXISTING,
    OUTCOMES,
    REFUSE,
    check_storable,
    predict_outcome,
    store_connections,
)
from nango_py.errors import ConfigError, ConnectionAlreadyExists, CredentialsError, StorageError
from nango_py.record import record, replaced
from nango_py.secret import conceal, reveal
from nango_py.transfer.export_file import read_export
from nango_py.transfer.exporting import parse_given_key
from nango_py.transfer.report import EXISTS, TWICE, UNFIT, Notes, connection_label, report_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from nango_py.config.model import Configuration
    from nango_py.connections.bulk import ExportedConnection
    from nango_py.connections.store import ConnectionStore
    from nango_py.secret import Secret
    from nango_py.transfer.report import ImportReport

    Source = Callable[[Notes], Iterator[ExportedConnection]]
    """Reads everything from the beginning, each time it is called."""


@record
class Importer:
    """What an import needs to know beside its file."""

    store: ConnectionStore
    configuration: Configuration
    on_existing: str
    dry_run: bool

    def __post_init__(self) -> None:
        """Refuse a word that says nothing."""
        if self.on_existing not in ON_EXISTING:
            raise ValueError(f"on_existing must be one of {', '.join(ON_EXISTING)}")

    def run(self, source: Source) -> ImportReport:
        """Check everything, then store it; see `Nango.import_connections`."""
        notes = Notes()
        outcomes = Counter(self._foreseen(source, notes))
        outcomes.pop(REFUSE, None)
        if self.dry_run or not notes.is_empty:
            report = self._report(notes, outcomes)
            if not self.dry_run:
                raise report_error(report)
            return report
        return self._report(notes, self._store(source))

    def _report(self, notes: Notes, outcomes: Counter[str]) -> ImportReport:
        counts = {outcome: outcomes[outcome] for outcome in OUTCOMES}
        known, source = self.configuration.integrations, self.configuration.source
        return notes.report(counts, known, f"declared in {source}", dry_run=self.dry_run)

    def _foreseen(self, source: Source, notes: Notes) -> Iterator[str]:
        """What would become of each connection; what stands in the way goes into the notes."""
        seen: set[int] = set()
        for moved in self._fit(source, notes):
            whose = moved.integration, moved.user_id
            if hash(whose) in seen:
                notes.problem(moved.place, TWICE, f"{connection_label(*whose)} is there twice", whose)
                continue
            seen.add(hash(whose))
            outcome = predict_outcome(self.store, moved, self.on_existing)
            if outcome == REFUSE:
                what = f"{connection_label(*whose)} already has a connection; skip or replace it"
                notes.problem(moved.place, EXISTS, what, whose)
            yield outcome

    def _fit(self, source: Source, notes: Notes) -> Iterator[ExportedConnection]:
        """The connections that fit their integration, as they are stored."""
        for moved in source(notes):
            declared = self.configuration.integrations.get(moved.integration)
            if declared is None:
                notes.unknown(moved.integration, moved.place)
                continue
            whose = moved.integration, moved.user_id
            try:
                schema = declared.settings.get("connection_config")
                settings = check_additional_config(schema, moved.additional_config, connection_label(*whose))
                checked = validate_credentials(
                    declared.auth_mode, reveal(moved.credentials), connection_label(*whose)
                )
                fit = replaced(moved, credentials=conceal(checked), additional_config=settings)
                check_storable(fit)
            except (CredentialsError, StorageError) as error:
                notes.problem(moved.place, UNFIT, str(error), whose)
            except ConfigError as error:
                for each in error.problems:
                    what = "; ".join(part for part in (each.what, each.expected) if part)
                    notes.problem(moved.place, UNFIT, f"{connection_label(*whose)}: {what}", whose)
            else:
                yield fit

    def _store(self, source: Source) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        notes = Notes()
        fit = self._fit(source, notes)
        while batch := list(islice(fit, BATCH_SIZE)):
            if not notes.is_empty:
                break
            try:
                outcomes.update(store_connections(self.store, batch, self.on_existing))
                continue
            except ConnectionAlreadyExists as error:
                whose = connection_label(error.integration, error.user_id)
            raise StorageError(f"{whose} was connected while the import ran; {_so_far(outcomes)}")
        if not notes.is_empty:
            raise StorageError(f"the file was changed while it was imported; {_so_far(outcomes)}")
        return outcomes


def _so_far(outcomes: Counter[str]) -> str:
    return f"{outcomes.total()} connections are done, each as a whole, and importing again does the rest"


def import_export(
    importer: Importer, source: str | os.PathLike[str] | BinaryIO, key: str | Secret
) -> ImportReport:
    """Import what `export_to` wrote."""
    opening = parse_given_key(key)
    del key
    with ExitStack() as stack:
        file, name = _opened(source, stack)
        start = file.tell()

        def read(_: Notes) -> Iterator[ExportedConnection]:
            file.seek(start)
            return read_export(file, opening, name)

        return importer.run(read)


def _opened(source: Any, stack: ExitStack) -> tuple[BinaryIO, str]:
    """A file that can be read twice, and its name for messages."""
    if not isinstance(source, str | os.PathLike):
        return _readable_twice(source, stack), "the export"
    name = os.fspath(source)
    try:
        return _readable_twice(stack.enter_context(Path(source).open("rb")), stack), str(name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise StorageError(f"cannot read {name}: {reason}")


def _readable_twice(source: BinaryIO, stack: ExitStack) -> BinaryIO:
    """The file; a pipe's content, still sealed, in a file without a name."""
    if source.seekable():
        return source
    copy: Any = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
    stack.enter_context(copy)
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return cast("BinaryIO", copy)
