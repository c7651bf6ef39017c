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
"""How many days before a change the warnings begin."""


def check_lifecycle(blueprint: Blueprint, where: Position, clock: Clock) -> list[Problem]:
    """Warnings: the API is retired (W503) or deprecated (W504), or a change is near or past (W505).

    Args:
        blueprint: a valid blueprint.
        where: where the blueprint is named.
        clock: the time.
    """
    today = datetime.fromtimestamp(clock.now(), UTC).date()
    return [*_check_status(blueprint, where, today.isoformat()), *_check_changes(blueprint, where, today)]


def last_day_of_warnings(today: date) -> str:
    """The last day, as ISO text, of the changes about which there are warnings today."""
    return (today + timedelta(days=WARNING_DAYS)).isoformat()


def warning_days(blueprint: Blueprint) -> Iterator[str]:
    """The days, as ISO text, on which the warnings of a blueprint become others."""
    yield from filter(None, (blueprint.status.deprecated_on, blueprint.status.retires_on))
    for change in blueprint.changes:
        yield (date.fromisoformat(change.on) - timedelta(days=WARNING_DAYS)).isoformat()


def _check_status(blueprint: Blueprint, where: Position, today: str) -> list[Problem]:
    status = blueprint.status
    subject = f'the login "{blueprint.login}" of' if blueprint.login else "the API of"
    help_ = f"extend {status.migrate_to} instead" if status.migrate_to else ""
    if status.retires_on and status.retires_on <= today:
        what = f"{subject} {blueprint.ref} was retired on {status.retires_on}"
        return [Problem(where, "W503", what, "", help_)]
    if status.deprecated_on and status.deprecated_on <= today:
        ends = f" and retires on {status.retires_on}" if status.retires_on else ""
        what = f"{subject} {blueprint.ref} has been deprecated since {status.deprecated_on}{ends}"
        return [Problem(where, "W504", what, "", help_)]
    return []


def _check_changes(blueprint: Blueprint, where: Position, today: date) -> Iterator[Problem]:
    last_day = last_day_of_warnings(today)
    for change in blueprint.changes:
        if change.on <= last_day:
            what = f"the API of {blueprint.ref} changes on {change.on}: {change.what}"
            yield Problem(where, "W505", what, "", f"{change.then} See {change.url}".strip())
