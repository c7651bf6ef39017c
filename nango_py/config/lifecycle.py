"""Warnings about the life of an API: deprecation, retirement, and announced changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from nango_py.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.clock import Clock
    from nango_py.config.model import Blueprint
    from nango_py.errors import Position

WARNING_DAYS = 90
"""How many days before a change, or the end of an API, the warnings begin."""
SOURCE_DAYS = 365
"""After how many days a source should be read again."""


def check_lifecycle(blueprint: Blueprint, where: Position, clock: Clock) -> list[Problem]:
    """Warnings: the API is retired (W503), deprecated or retired soon (W504), or changes soon or did (W505).

    Args:
        blueprint: a valid blueprint.
        where: where the blueprint is named.
        clock: the time.
    """
    today = datetime.fromtimestamp(clock.now(), UTC).date()
    return [*_check_status(blueprint, where, today), *_check_changes(blueprint, where, today)]


def check_sources(blueprint: Blueprint, today: date) -> Iterator[Problem]:
    """Warnings (W506) about sources that were read more than a year ago, at their places in the file."""
    oldest = (today - timedelta(days=SOURCE_DAYS)).isoformat()
    for index, source in enumerate(blueprint.settings.get("sources", ())):
        if source["read_on"] < oldest:
            where = blueprint.origins["sources", index, "read_on"]
            what = f"{source['url']} was read on {source['read_on']}, more than a year ago"
            yield Problem(where, "W506", what, "", "read it again, and set read_on")


def last_day_of_warnings(today: date) -> str:
    """The last day, as ISO text, of the changes about which there are warnings today."""
    return (today + timedelta(days=WARNING_DAYS)).isoformat()


def warning_days(blueprint: Blueprint) -> Iterator[str]:
    """The days, as ISO text, on which the warnings of a blueprint become others."""
    status = blueprint.status
    yield from filter(None, (status.deprecated_on, status.retires_on))
    for day in filter(None, (status.retires_on, *(change.on for change in blueprint.changes))):
        yield (date.fromisoformat(day) - timedelta(days=WARNING_DAYS)).isoformat()


def _check_status(blueprint: Blueprint, where: Position, today: date) -> list[Problem]:
    status, day = blueprint.status, today.isoformat()
    subject = f'the login "{blueprint.login}" of' if blueprint.login else "the API of"
    help_ = f"extend {status.migrate_to} instead" if status.migrate_to else ""
    if status.retires_on and status.retires_on <= day:
        what = f"{subject} {blueprint.ref} was retired on {status.retires_on}"
        return [Problem(where, "W503", what, "", help_)]
    if status.deprecated_on and status.deprecated_on <= day:
        ends = f" and retires on {status.retires_on}" if status.retires_on else ""
        what = f"{subject} {blueprint.ref} has been deprecated since {status.deprecated_on}{ends}"
        return [Problem(where, "W504", what, "", help_)]
    if status.retires_on and status.retires_on <= last_day_of_warnings(today):
        return [
            Problem(where, "W504", f"{subject} {blueprint.ref} retires on {status.retires_on}", "", help_)
        ]
    return []


def _check_changes(blueprint: Blueprint, where: Position, today: date) -> Iterator[Problem]:
    last_day = last_day_of_warnings(today)
    for change in blueprint.changes:
        if change.on <= last_day:
            what = f"the API of {blueprint.ref} changes on {change.on}: {change.what}"
            yield Problem(where, "W505", what, "", f"{change.then} See {change.url}".strip())
