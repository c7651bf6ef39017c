"""Imports connections into a store: everything is read and checked before anything is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from nango_py.auth.base import mode_of
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
from nango_py.transfer.exporting import parse_key
from nango_py.transfer.report import DUPLICATE, EXISTS, INVALID, ReportBuilder, connection_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.config.model import Configuration, Integration
    from nango_py.connections.bulk import ExportedConnection
    from nango_py.connections.store import ConnectionStore
    from nango_py.secret import Secret
    from nango_py.transfer.report import ImportReport

    Source = Callable[[ReportBuilder], Iterator[ExportedConnection]]
    """Reads all connections from the beginning, each time it is called."""


@record
class Importer:
    """An import from any source into a store; see `Nango.import_connections` for the options."""

    store: ConnectionStore
    configuration: Configuration
    on_existing: str
    dry_run: bool

    def __post_init__(self) -> None:
        """Check the options."""
        if self.on_existing not in ON_EXISTING:
            raise ValueError(f"on_existing must be one of {', '.join(ON_EXISTING)}")

    def run(self, source: Source) -> ImportReport:
        """Check every connection, then store them all.

        Raises:
            ConfigError: there are problems and it is not a dry run; nothing was stored.
        """
        builder = ReportBuilder()
        outcomes = Counter(self._predict_outcomes(source, builder))
        outcomes.pop(REFUSE, None)
        if builder.has_problems and not self.dry_run:
            raise ConfigError(item.problem for item in self._build_report(builder, outcomes).problems)
        return self._build_report(builder, outcomes if self.dry_run else self._store(source))

    def _build_report(self, builder: ReportBuilder, outcomes: Counter[str]) -> ImportReport:
        counts = {outcome: outcomes[outcome] for outcome in OUTCOMES}
        known, source = self.configuration.integrations, self.configuration.source
        return builder.build(counts, known, f"declared in {source}", dry_run=self.dry_run)

    def _predict_outcomes(self, source: Source, builder: ReportBuilder) -> Iterator[str]:
        seen: set[int] = set()
        for connection in self._read(source, builder):
            identity = connection.integration, connection.user_id
            label = connection_label(*identity)
            if hash(identity) in seen:
                builder.add_problem(connection.place, DUPLICATE, f"{label} is in the file twice", identity)
                continue
            seen.add(hash(identity))
            outcome = predict_outcome(self.store, connection, self.on_existing)
            if outcome == REFUSE:
                what = f"{label} already has a connection; skip or replace it"
                builder.add_problem(connection.place, EXISTS, what, identity)
            yield outcome

    def _read(self, source: Source, builder: ReportBuilder) -> Iterator[ExportedConnection]:
        """The valid connections, as they are stored."""
        for connection in source(builder):
            integration = self.configuration.integrations.get(connection.integration)
            if integration is None:
                builder.add_unknown_integration(connection.integration, connection.place)
                continue
            identity = connection.integration, connection.user_id
            try:
                yield _check(connection, integration)
            except (CredentialsError, StorageError) as error:
                builder.add_problem(connection.place, INVALID, str(error), identity)
            except ConfigError as error:
                for problem in error.problems:
                    what = "; ".join(part for part in (problem.what, problem.expected) if part)
                    what = f"{connection_label(*identity)}: {what}"
                    builder.add_problem(connection.place, INVALID, what, identity)

    def _store(self, source: Source) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        builder = ReportBuilder()
        connections = self._read(source, builder)
        while batch := list(islice(connections, BATCH_SIZE)):
            if builder.has_problems:
                break
            try:
                outcomes.update(store_connections(self.store, batch, self.on_existing))
                continue
            except ConnectionAlreadyExists as error:
                label = connection_label(error.integration, error.user_id)
            raise StorageError(f"{label} was registered during the import; {_progress(outcomes)}")
        if builder.has_problems:
            raise StorageError(f"the file was changed during the import; {_progress(outcomes)}")
        return outcomes


def _check(connection: ExportedConnection, integration: Integration) -> ExportedConnection:
    label = connection_label(connection.integration, connection.user_id)
    schema = integration.settings.get("connection_config")
    settings = check_additional_config(schema, connection.additional_config, label)
    credentials = mode_of(integration).validate(reveal(connection.credentials), label)
    checked = replaced(connection, credentials=conceal(credentials), additional_config=settings)
    check_storable(checked)
    return checked


def _progress(outcomes: Counter[str]) -> str:
    return f"{outcomes.total()} connections were imported completely; run the import again for the rest"


def import_export(
    importer: Importer, source: str | os.PathLike[str] | BinaryIO, key: str | Secret
) -> ImportReport:
    """Import a file of `write_export`."""
    parsed_key = parse_key(key)
    del key
    with ExitStack() as stack:
        file, name = _open(source, stack)
        start = file.tell()

        def read(_: ReportBuilder) -> Iterator[ExportedConnection]:
            file.seek(start)
            return read_export(file, parsed_key, name)

        return importer.run(read)


def _open(source: str | os.PathLike[str] | BinaryIO, stack: ExitStack) -> tuple[BinaryIO, str]:
    """A file that can be read twice, and its name for messages."""
    if not isinstance(source, str | os.PathLike):
        return _make_seekable(source, stack), "the export"
    name = os.fspath(source)
    try:
        return _make_seekable(stack.enter_context(Path(source).open("rb")), stack), str(name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise StorageError(f"cannot read {name}: {reason}")


def _make_seekable(source: BinaryIO, stack: ExitStack) -> BinaryIO:
    """The file, or a temporary copy of a pipe's content, which is still sealed."""
    if source.seekable():
        return source
    copy = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return copy
