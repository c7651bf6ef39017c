"""Checks of arguments, with errors that name the argument."""

from __future__ import annotations


def check_type(name: str, value: object, types: type | tuple[type, ...], expected: str) -> None:
    """Raise a TypeError that names the type of the argument and what was expected."""
    if not isinstance(value, types):
        raise TypeError(f"{name} is of type {type(value).__name__}; expected {expected}")


def check_number(name: str, value: object, minimum: float = 0, *, is_whole: bool = False) -> None:
    """Refuse what is not a number of at least `minimum`.

    Raises:
        TypeError: it is not a number, or not a whole one.
        ValueError: it is smaller, or NaN.
    """
    kind = "a whole number" if is_whole else "a number"
    check_type(name, None if isinstance(value, bool) else value, int if is_whole else (int, float), kind)
    if isinstance(value, int | float) and not value >= minimum:
        raise ValueError(f"{name} is {value}; expected {kind} of at least {minimum}")
