"""The facts of blueprints that change: announced changes, and the ends of APIs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from nango_py.cli.output import echo_json, format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.config.model import Blueprint
    from nango_py.errors import Problem

INDENT = " " * 12


class Fact(NamedTuple):
    """Something that happens to an API on a day; `is_end` if it is its deprecation or retirement."""

    on: str
    blueprint: str
    what: str
    affects: tuple[str, ...]
    then: str
    url: str
    place: str
    is_end: bool = False


def facts_of(blueprints: Iterable[Blueprint]) -> list[Fact]:
    """The dated facts of blueprints, sorted by day; those that several share are listed once."""
    found: dict[tuple[str, str], Fact] = {}
    for blueprint in blueprints:
        status = blueprint.status
        then = f"Extend {status.migrate_to} instead." if status.migrate_to else ""
        for day, key, what in (
            (status.deprecated_on, "deprecated_on", "The API is deprecated."),
            (status.retires_on, "retires_on", "The API is retired."),
        ):
            if day:
                place = str(blueprint.origins["status", key])
                found[day, place] = Fact(day, blueprint.ref, what, (), then, "", place, is_end=True)
        for change in blueprint.changes:
            place = str(change.position)
            words = change.what, change.affects, change.then, change.url
            found.setdefault((change.on, place), Fact(change.on, blueprint.ref, *words, place))
    return sorted(found.values())


def echo_facts(facts: list[Fact], blueprints: list[Blueprint], *, as_json: bool) -> None:
    """Print the facts, and how many sources and unconfirmed values the blueprints have."""
    if as_json:
        echo_json([fact._asdict() for fact in facts])
        return
    for fact in facts:
        click.echo(f"{fact.on}  {fact.blueprint}: {fact.what}")
        affects = f"affects: {', '.join(fact.affects)}" if fact.affects else ""
        for text in filter(None, (affects, fact.then, fact.url, fact.place)):
            click.echo(f"{INDENT}{text}")
    sources = [source for blueprint in blueprints for source in blueprint.settings.get("sources", ())]
    unconfirmed = sum(len(blueprint.settings.get("unconfirmed", ())) for blueprint in blueprints)
    oldest = min((source["read_on"] for source in sources), default="")
    read = f", the oldest read on {oldest}" if oldest else ""
    click.echo(
        f"{format_count(len(blueprints), 'blueprint')}: {format_count(len(facts), 'change')}, "
        f"{format_count(len(sources), 'source')}{read}, {format_count(unconfirmed, 'unconfirmed value')}"
    )


def is_due(facts: Iterable[Fact], days: int) -> bool:
    """Whether a change is past or within some days, or an end is within them."""
    today = datetime.now(UTC).date()
    first_day, last_day = today.isoformat(), (today + timedelta(days=days)).isoformat()
    return any(fact.on <= last_day and (not fact.is_end or fact.on >= first_day) for fact in facts)


def warn_of_old_sources(blueprints: Iterable[Blueprint]) -> Iterator[Problem]:
    """The warnings about sources that were read long ago, once for files with several versions or logins."""
    from nango_py.config.lifecycle import check_sources

    today = datetime.now(UTC).date()
    yield from (problem for blueprint in blueprints for problem in check_sources(blueprint, today))
