"""Puts the example integrations.yaml into the wheel; an editable install reads the one of the checkout."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedExample(BuildHookInterface[Any]):
    """hatchling can map a folder to another place in the wheel, but not a single file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, unless the wheel is an editable one, where a copy would grow stale."""
        if version == "standard":
            build_data["force_include"]["integrations.yaml"] = "nango_py/integrations.yaml"
