"""`@action`: what a Python function says about itself when its module is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Function = TypeVar("Function", bound="Callable[..., Any]")

MARK = "__nango_actions__"


@record
class Registration:
    """A function that is an action.

    Attributes:
        integration: the name of an integration, or of a blueprint that integrations extend.
        name: the name of the action.
        changes: what it changes; None if it does not say, () if it only reads.
        title: its name for people, or "".
        description: what it does; "" for the function's docstring.
    """

    integration: str
    name: str
    function: Callable[..., Any]
    changes: tuple[str, ...] | None = None
    title: str = ""
    description: str = ""


def action(
    integration: str,
    name: str,
    *,
    reads: bool = False,
    changes: Iterable[str] = (),
    title: str = "",
    description: str = "",
) -> Callable[[Function], Function]:
    """Decorator: a function that runs as an action: `nango.trigger_action(integration, name, ...)`.

    The function takes a context and an input, and is sync or async. Its annotations are the types of the
    input and the result. The module has to be listed under `config.actions` of integrations.yaml.

    Args:
        integration: the name of an integration, or of a blueprint, for all integrations that extend it.
        name: the name of the action.
        reads: whether the action only reads.
        changes: what it changes, such as ["profiles"].
        title: its name for people.
        description: what it does; by default the docstring.
    """
    named = (changes,) if isinstance(changes, str) else tuple(changes)
    said = () if reads else named or None

    def mark(function: Function) -> Function:
        registered = Registration(integration, name, function, said, title, description)
        known = getattr(function, MARK, ())
        setattr(function, MARK, (*known, registered))
        return function

    return mark
