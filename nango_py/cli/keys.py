"""`nango keys`: the encryption keys of the connection store."""

from __future__ import annotations

from pathlib import Path

import click

from nango_py.cli.output import echo_columns, echo_json
from nango_py.cli.project import Project, pass_project


@click.group()
def keys() -> None:
    """The keys that stored credentials are encrypted with.

    \b
    Example:
      nango keys show
    """


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_project
def show(project: Project, as_json: bool) -> None:
    """Print where the keys come from, their ids, and how many connections each one seals.

    An id is a fingerprint; the keys themselves are never shown.

    \b
    Example:
      nango keys show
    """
    with project.open() as nango:
        ring, used = nango.store.keyring, nango.store.rows_by_key()
    listed = [
        {"id": key_id, "active": number == 0, "connections": used.get(key_id, 0)}
        for number, key_id in enumerate(ring.ids)
    ]
    if as_json:
        echo_json({"source": ring.source, "keys": listed})
        return
    click.echo(f"keys from {ring.source}")
    rows = [(key["id"], "active" if key["active"] else "old", key["connections"]) for key in listed]
    echo_columns(("id", "state", "connections"), rows, "no keys")


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def generate(file: Path) -> None:
    """Make a key: 32 random bytes in base64, in a new file for its owner only; - writes to standard output.

    For exports of connections, and for NANGO_ENCRYPTION_KEYS. Keep a copy: what is sealed with a key opens
    with that key only.

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
    """Encrypt every connection under a new key, while other processes go on.

    With a key file a new key is made, and the old ones are removed when no connection needs them any more.
    With NANGO_ENCRYPTION_KEYS put the new key first, keep the old one behind it, start your processes
    anew, rotate, and only then remove the old one. A rotation that was stopped is resumed by the next.

    \b
    Example:
      nango keys rotate
    """
    from nango_py.connections.keys import KEYS_VARIABLE
    from nango_py.connections.rotation import replace_key

    with project.open() as nango:
        store = nango.store
        if store.keyring.source == KEYS_VARIABLE:
            changed = store.rotate(_progress)
        else:
            changed = replace_key(store, Path(store.keyring.source).parent, _progress)
        active = store.keyring.ids[0]
    click.echo(
        f"{changed} {'connection is' if changed == 1 else 'connections are'} now sealed with key {active}"
    )


def _progress(done: int, total: int) -> None:
    click.echo(f"{done} of {total}", err=True)
