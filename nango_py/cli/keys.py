"""`nango keys`: the encryption keys of stored connections."""

from __future__ import annotations

from pathlib import Path

import click

from nango_py.cli.output import echo_columns, echo_json, json_option
from nango_py.cli.project import Project, pass_project


@click.group()
def keys() -> None:
    """The keys that stored credentials are encrypted with.

    \b
    Example:
      nango keys show
    """


@keys.command()
@json_option
@pass_project
def show(project: Project, as_json: bool) -> None:
    """Print where the keys come from, their ids, and the number of connections encrypted with each.

    An id is a fingerprint; keys are never printed.

    \b
    Example:
      nango keys show
    """
    with project.open() as nango:
        ring, used = nango.store.keyring, nango.store.rows_by_key()
    rows = [(key_id, number == 0, used.get(key_id, 0)) for number, key_id in enumerate(ring.ids)]
    if as_json:
        names = ("id", "active", "connections")
        echo_json({"source": ring.source, "keys": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    click.echo(f"keys from {ring.source}")
    cells = [(key_id, "active" if is_active else "old", count) for key_id, is_active, count in rows]
    echo_columns(("id", "state", "connections"), cells, "no keys")


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def generate(file: Path) -> None:
    """Write a new key, 32 random bytes in base64, to a new file that only you can read; - prints it.

    For exports or NANGO_ENCRYPTION_KEYS. Keep a backup: without the key the data cannot be decrypted.

    \b
    Example:
      nango keys generate export.key
    """
    from nango_py.connections.keys import generate_key, write_new_key

    if str(file) == "-":
        click.echo(generate_key().reveal())
        return
    click.echo(f"wrote key {write_new_key(file)} to {file}")


@keys.command()
@pass_project
def rotate(project: Project) -> None:
    """Encrypt every connection with a new key, while other processes keep running.

    With a key file, a new key is created, and old keys are removed once unused. With
    NANGO_ENCRYPTION_KEYS, put the new key before the old one, restart your processes, rotate, and only
    then remove the old key. The next rotation resumes an interrupted one.

    \b
    Example:
      nango keys rotate
    """
    from nango_py.connections.keys import KEYS_VARIABLE
    from nango_py.connections.rotation import replace_key

    with project.open() as nango:
        store = nango.store
        if store.keyring.source == KEYS_VARIABLE:
            changed = store.rotate(_echo_progress)
        else:
            changed = replace_key(store, Path(store.keyring.source), _echo_progress)
        active = store.keyring.ids[0]
    noun = "connection is" if changed == 1 else "connections are"
    click.echo(f"{changed} {noun} now encrypted with key {active}")


def _echo_progress(done: int, total: int) -> None:
    click.echo(f"{done} of {total}", err=True)
