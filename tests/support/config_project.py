"""A project with files that may be kept in their checked form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.cache.cache_folder import ConfigCache
from nango_py.config.cache.serialized import LazyOrigins
from nango_py.config.endpoints import Endpoints
from nango_py.config.files import ConfigFiles
from nango_py.config.template.compiled import TemplateText
from nango_py.config.values import EnvironmentText
from nango_py.secret import Secret
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nango_py.config.model import Configuration


KEY = "k" * 44
SECRETS = ("literal-key-4711", "from-environment-0815", "db-password-2342", "client-id-77")

INTEGRATIONS = """\
integrations:
  plain:
    extends_blueprint: mail:v1
    oauth_client_id: client-id-77
    oauth_client_secret: literal-key-4711
  named:
    extends_blueprint: mail:v1
    title: "In quotes: literal-key-4711"
    comment: >
      folded over literal-key-4711
      two lines

      and a third
    oauth_client_id: client-id-77
    oauth_client_secret: ${MAIL_SECRET}
    oauth_scopes: [read, 'write', "client-id-77"]
    http_request_timeout_seconds: 12.5
    requests:
      base_url: https://${additional_config.region | default("eu")}.example.test/
      headers:
        accept: text/plain
        X-Key: ${MAIL_SECRET}-${access_token}
        X-Optional: ${UNSET_NAME or "none"}
  own:
    app_api_key: literal-key-4711
    auth: {auth_mode: API_KEY}
    requests: {base_url: 'https://own.example.test/v1/', params: {key: "${api_key}"}}
    rate_limits: {budgets: [{key: all, otherwise: [3/second]}]}
    endpoints: [{match: {path: 'a/*'}, headers: {X-A: '${api_key}'}, safe: true}]
config:
  database_url: postgresql://user:db-password-2342@host/db
  default_http_request_timeout_seconds: 33
"""

BASE = """\
name: post
version: v0
title: Post
status: {deprecated_on: 2031-01-01, retires_on: 2032-01-01}
auth: {auth_mode: OAUTH2, authorization_url: "https://x.example.test/a", token_url: "https://x.example.test/t"}
requests:
  base_url: https://post.example.test/
  headers: {Accept: application/json, Authorization: "Bearer ${access_token}"}
"""

MAIL = """\
name: mail
version: v1
title: Mail
extends: post:v0
requests:
  base_url: https://mail.example.test/
status: {deprecated_on: 2031-01-01, retires_on: 2032-01-01}
"""


class Project:
    """A folder with integrations.yaml, two blueprints and `.nango/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "integrations.yaml"
        self.nango = folder / ".nango"
        self.clock = ManualClock()
        self.environ = {"MAIL_SECRET": "from-environment-0815"}
        self.source: Path | Mapping[str, Any] = self.file
        self.overrides: Mapping[str, Any] | None = None
        self.key = KEY
        (folder / "blueprints").mkdir()
        self.nango.mkdir(mode=0o700)
        self.file.write_text(INTEGRATIONS)
        self.blueprint("post.v0.yaml", BASE)
        self.blueprint("mail.v1.yaml", MAIL)

    def blueprint(self, name: str, text: str) -> Path:
        """Write a blueprint."""
        path = self.folder / "blueprints" / name
        path.write_text(text)
        return path

    def load(self, *, cached: bool = True) -> Configuration:
        """The configuration as a start finds it."""
        cache = ConfigCache(self.nango, Secret(self.key), self.clock)
        return ConfigFiles(
            self.source,
            self.folder / "blueprints",
            self.overrides,
            self.environ,
            reload=False,
            cache=lambda _: cache if cached else None,
        ).current()

    @property
    def forms(self) -> list[Path]:
        """The kept forms."""
        return sorted(self.nango.glob("checked-*.json"))


def was_hit(configuration: Configuration) -> bool:
    """Whether a configuration came from a kept form."""
    return any(isinstance(one.origins, LazyOrigins) for one in configuration)


def plain(value: Any) -> Any:
    """Everything that a value holds, so that two can be compared to the last part."""
    if isinstance(value, EnvironmentText):
        return ("environment", value.reveal())
    if isinstance(value, TemplateText):
        return ("template", str.__str__(value), plain(value.template))
    if isinstance(value, Secret):
        return ("secret", value.reveal())
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "outline"):
        return (value.source, value.names, sorted(value.optional_names), value.outline(), value.is_hidden)
    if isinstance(value, Endpoints):
        return plain(value._entries)
    if hasattr(value, "__record__"):
        return {name: plain(getattr(value, name)) for name in value.__record__}
    return value


def changed(path: Path, old: str, new: str) -> None:
    """Replace a piece of a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
