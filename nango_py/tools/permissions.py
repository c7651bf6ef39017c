"""Which actions a language model may see and call for a user. The program decides, never the model."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from nango_py.errors import nearest
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.actions.definition import ActionInfo

EVERYTHING = ("*",)


@record
class Permissions:
    """Patterns of names such as `klaviyo-today.create-profile`; `*` stands for any text.

    Attributes:
        actions: the actions that the model can find.
        allow: those of them that may change something. What only reads may always be called.
        expose: those that are separate tools, in place of the three for all actions.
    """

    actions: tuple[str, ...] = EVERYTHING
    allow: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()

    def includes(self, info: ActionInfo) -> bool:
        """Whether the action exists for the model."""
        return _is_named(info, self.actions) and (not self.expose or _is_named(info, self.expose))

    def allows(self, info: ActionInfo) -> bool:
        """Whether the action may be called."""
        return self.includes(info) and (info.is_read or _is_named(info, self.allow))

    def check(self, infos: Iterable[ActionInfo]) -> None:
        """Check that each pattern names an action.

        Raises:
            ValueError: one names none.
        """
        names = [full_name(info) for info in infos]
        for argument, patterns in (("actions", self.actions), ("allow", self.allow), ("expose", self.expose)):
            for pattern in patterns:
                if pattern not in EVERYTHING and not any(fnmatchcase(name, pattern) for name in names):
                    near = nearest(pattern, names)
                    hint = f'; did you mean "{near}"?' if near else ", such as klaviyo-today.*"
                    raise ValueError(f'{argument}: no action is named "{pattern}"{hint}')


def make_permissions(
    actions: Iterable[str] | str, allow: Iterable[str] | str, expose: Iterable[str] | str
) -> Permissions:
    """Permissions of patterns; a lone text is one pattern."""
    return Permissions(_as_patterns(actions), _as_patterns(allow), _as_patterns(expose))


def full_name(info: ActionInfo) -> str:
    """The name by which a language model calls an action: `integration.action`."""
    return f"{info.integration}.{info.name}"


def _as_patterns(value: Iterable[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _is_named(info: ActionInfo, patterns: tuple[str, ...]) -> bool:
    name = full_name(info)
    return any(fnmatchcase(name, pattern) for pattern in patterns)
