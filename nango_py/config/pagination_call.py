"""A `pagination=` of one call: merged over the integration's, and checked like a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.config.pagination_merge import overlay_pagination
from nango_py.config.schema.validation import check_pagination
from nango_py.config.template_checks import check_templates
from nango_py.config.values import freeze
from nango_py.config.yaml.document import document_from_python
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from nango_py.json_types import Settings

SOURCE = "pagination="


def merge_pagination(block: Settings, given: object) -> Settings:
    """The `pagination:` block of an integration with the settings of one call merged over it.

    Raises:
        ConfigError: the settings are wrong; each problem has the path of its key as its place.
    """
    if not isinstance(given, Mapping):
        found = type(given).__name__
        raise ConfigError([Problem(Position(SOURCE), "E201", f"expected a mapping, found {found}")])
    document = document_from_python({"pagination": dict(given)}, SOURCE)
    merged = overlay_pagination(block, document.data["pagination"])
    problems = check_pagination(merged, document) or check_templates({"pagination": merged}, document)[1]
    if problems:
        raise ConfigError(problems)
    frozen: Settings = freeze(dict(merged))
    return frozen
