"""Wrong files for tests: a blueprint and an integrations.yaml that are right, and their lines replaced."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from nango_py.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.config.model import Configuration

# Stands wherever a secret could; no message may hold it.
PLANTED = "sk_planted_9f8e7d6c"

KLAVIYO = """\
name: klaviyo
version: v0
title: Klaviyo
docs_url: https://developers.example.test/
comment: Made for these tests.
auth:
  auth_mode: API_KEY
requests:
  base_url: https://a.klaviyo.com/api/
  headers:
    Accept: application/json
    Authorization: Klaviyo-API-Key ${api_key}
retries:
  max_attempts: 4
  deadline_seconds: 60
"""
SLACK = """\
name: slack
version: v0
auth:
  auth_mode: OAUTH2
  authorization_url: https://slack.com/oauth/v2/authorize
  token_url: https://slack.com/api/oauth.v2.access
requests:
  base_url: https://slack.com/api/
  headers: {Authorization: "Bearer ${access_token}"}
"""
EXTENDS_KLAVIYO = "integrations:\n  klaviyo:\n    extends_blueprint: klaviyo:v0\n"
IN_HOUSE = """\
integrations:
  in-house:
    requests:
      base_url: https://api.example.test/
    auth:
        auth_mode: API_KEY
"""


def with_lines(text: str, **lines: str) -> str:
    """The text with some lines replaced: `line_9="..."`; lines after its end are added."""
    kept = text.splitlines()
    for key, line in lines.items():
        number = int(key.removeprefix("line_"))
        kept += [""] * (number - len(kept))
        kept[number - 1] = line
    return "\n".join(kept) + "\n"


@dataclass(frozen=True)
class Case:
    """One wrong input.

    `problems` are `file:line:column code` with i for integrations.yaml and k for the blueprint, in order;
    `words` are parts of the message.
    """

    integrations: str | bytes = EXTENDS_KLAVIYO
    klaviyo: str = KLAVIYO
    problems: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)


def k(**lines: str) -> str:
    """The Klaviyo blueprint with some lines replaced."""
    return with_lines(KLAVIYO, **lines)


def i(**lines: str) -> str:
    """The integrations.yaml that extends it, with some lines replaced."""
    return with_lines(EXTENDS_KLAVIYO, **lines)


def load(folder: Path, case: Case) -> Configuration:
    """The case's files, read as the client reads them."""
    blueprints = folder / "blueprints"
    blueprints.mkdir()
    for name, text in {"klaviyo.v0.yaml": case.klaviyo, "slack.v0.yaml": SLACK, **case.more}.items():
        (blueprints / name).write_text(text, "utf-8")
    written = case.integrations
    (folder / "integrations.yaml").write_bytes(written if isinstance(written, bytes) else written.encode())
    catalogue = Catalogue([("local", blueprints)])
    return load_configuration(folder / "integrations.yaml", environ={"PLANTED": PLANTED}, catalogue=catalogue)


def refusal(folder: Path, case: Case) -> ConfigError:
    """The error that the case's files raise."""
    with pytest.raises(ConfigError) as caught:
        load(folder, case)
    return caught.value


def places(error: ConfigError) -> tuple[str, ...]:
    """The problems as `file:line:column code`, with the short names of the table."""
    short = {"integrations.yaml": "i", "klaviyo.v0.yaml": "k", "slack.v0.yaml": "slack"}
    found = []
    for problem in error.problems:
        file = problem.position.file.rpartition("/")[2]
        place = f"{short.get(file, file)}:{problem.position.line}:{problem.position.column}"
        found.append(f"{place} {problem.code}")
    return tuple(found)


def everything_about(error: BaseException) -> str:
    """Message, arguments, causes, contexts and traceback of an error."""
    return repr(error) + "".join(traceback.TracebackException.from_exception(error).format())
