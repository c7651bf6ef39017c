"""Announcements of 2025 and 2026: files that state them warn at least 90 days before the day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


class Announcement(NamedTuple):
    """What a vendor announced, and how a blueprint states it."""

    api: str
    stated: str
    announced: str
    effective: str


ANNOUNCED = [
    Announcement(
        "zendesk", "status: {{deprecated_on: 2026-10-27, retires_on: {on}, migrate_to: 'acme:v9'}}",
        "2026-07-28", "2027-04-30",
    ),
    Announcement(
        "greenhouse", "status: {{retires_on: {on}, migrate_to: 'acme:v9'}}", "2025-08-01", "2026-08-31",
    ),
    Announcement(
        "xero",
        "changes: [{{on: {on}, what: Broad scopes end, url: 'https://developer.xero.com/faq/granular-scopes'}}]",
        "2026-03-02", "2027-09-01",
    ),
    Announcement(
        "shopify", "changes: [{{on: {on}, what: Offline tokens expire, url: 'https://shopify.dev/changelog'}}]",
        "2026-04-01", "2027-01-01",
    ),
    Announcement(
        "jira",
        "changes: [{{on: {on}, what: search is removed, url: 'https://developer.atlassian.com/changelog/'}}]",
        "2024-10-31", "2025-05-01",
    ),
    Announcement(
        "hubspot",
        "changes: [{{on: {on}, what: OAuth v1 ends, url: 'https://developers.hubspot.com/changelog/'}}]",
        "2026-03-01", "2027-02-16",
    ),
    Announcement(
        "salesforce",
        "changes: [{{on: {on}, what: Partner apps rotate, url: 'https://developer.salesforce.com/docs/'}}]",
        "2026-03-18", "2026-06-25",
    ),
    Announcement(
        "netsuite",
        "changes: [{{on: {on}, what: No new integrations with TBA, url: 'https://docs.oracle.com/'}}]",
        "2026-10-27", "2027-02-01",
    ),
]  # fmt: skip
"""The days of Greenhouse's, HubSpot's and NetSuite's announcements are those of pages that report them."""

FILE = """\
name: acme
version: v1
auth: {{auth_mode: API_KEY}}
requests: {{base_url: https://api.acme.test/, headers: {{X-Key: "${{api_key}}"}}}}
{stated}
"""


def codes_on(folder: Path, announcement: Announcement, day: date) -> list[str]:
    """The warnings on a day of an integration that extends a file with the announcement."""
    stated = announcement.stated.format(on=announcement.effective)
    (folder / "acme.v1.yaml").write_text(FILE.format(stated=stated))
    clock = ManualClock(datetime.combine(day, time(12), UTC).timestamp())
    catalogue = Catalogue([("local", folder)])
    entry = {"extends_blueprint": "acme:v1"}
    return [
        warning.code
        for warning in load_configuration({"it": entry}, catalogue=catalogue, clock=clock).warnings
    ]


@pytest.mark.parametrize("announcement", ANNOUNCED, ids=lambda announcement: announcement.api)
def test_an_announcement_warns_90_days_before_its_day(tmp_path: Path, announcement: Announcement) -> None:
    """There is a warning 90 days before the day, the day before, and after it; none before what is stated."""
    day = date.fromisoformat(announcement.effective)
    first = day - timedelta(days=90)
    assert date.fromisoformat(announcement.announced) <= first, "the vendor announced it in time"
    for when in (first, day - timedelta(days=1), day, day + timedelta(days=30)):
        assert len(codes_on(tmp_path, announcement, when)) == 1, when
    quiet = min(first, date.fromisoformat(announcement.announced)) - timedelta(days=1)
    assert codes_on(tmp_path, announcement, quiet) == []
