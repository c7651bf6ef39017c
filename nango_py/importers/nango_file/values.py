"""Translates the templates of a provider file, such as `${connectionConfig.region}`, to ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.json_types import JsonValue

_FALLBACK = re.compile(r"\s*\|\|\s*")
_LONE = re.compile(r"\$\{([^${}]*)\}")
_SETTING = re.compile(r"connectionConfig\.([\w.-]+)")
_PAIR = re.compile(r"base64\(\$\{([^${}]*)\}:\$\{([^${}]*)\}\)")
_FUNCTIONS = {"base64": "base64", "sha256Hex": "sha256"}


class NotTranslatedError(Exception):
    """A value has no equal in a blueprint; the text says why."""


def setting_name(name: str) -> str:
    """The name of a field of `connection_config` as a name of additional_config: letters, digits and _."""
    return re.sub(r"\W", "_", name)


def quote_path(value: JsonValue) -> str:
    """A JMESPath for a path such as `meta.next-cursor` or `@odata.nextLink`."""
    parts = [str(value)] if str(value).startswith("@") else str(value).split(".")
    return ".".join(
        part if re.fullmatch(r"[A-Za-z_]\w*(\[-?\d+\])?", part) else f'"{part}"' for part in parts
    )


class Translator:
    """Translates the values of one entry.

    Args:
        variables: our names of the entry's credentials and tokens, by its own names.
        pair: the two credentials that `basic_auth_encoded` joins; () if the auth mode has no such variable.

    Attributes:
        settings: the settings of the connection that were named, in order.
        defaults: values of settings that a fallback states.
        notes: fallbacks that were left out.
    """

    def __init__(self, variables: Mapping[str, str], pair: tuple[str, str] | tuple[()] = ()) -> None:
        self._variables = variables
        self._pair = pair
        self.settings: dict[str, None] = {}
        self.defaults: dict[str, str] = {}
        self.notes: list[str] = []

    def text(self, value: object) -> str:
        """A text with our templates.

        Raises:
            NotTranslatedError: a template or a fallback has no equal here.
        """
        first, *others = _FALLBACK.split(str(value))
        if not others:
            return self._templates(first)
        if len(others) > 1:
            raise NotTranslatedError(f"more than one fallback in {value}")
        return self._with_fallback(first, others[0])

    def tree(self, value: JsonValue) -> JsonValue:
        """A value whose texts are translated at every level."""
        if isinstance(value, dict):
            return {key: self.tree(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _with_fallback(self, first: str, other: str) -> str:
        """`A || B`: B becomes the default of the setting in A, if both are alike but for its value."""
        named = _LONE.findall(first)
        found = _SETTING.fullmatch(named[0]) if len(named) == 1 else None
        if found is None:
            raise NotTranslatedError(f"a fallback for something else than a setting: {first}")
        name = setting_name(found[1])
        before, after = (re.escape(part) for part in first.split(f"${{{named[0]}}}"))
        value = re.fullmatch(f"{before}([^$]+?){after}", other)
        if value is None and "${" in other:
            self.notes.append(f"the fallback {other}")  # users give the first setting
            return self._templates(first)
        if value is None:
            raise NotTranslatedError(f"the fallback {other} differs in more than a setting")
        if self.defaults.setdefault(name, value[1]) != value[1]:
            raise NotTranslatedError(f"the setting {name} has several fallbacks")
        return self._templates(first)

    def _templates(self, text: str) -> str:
        if paired := _PAIR.search(text):
            names = tuple(self._name(name.strip()) for name in paired.groups())
            if names == self._pair:
                text = text.replace(f"${{{paired[0]}}}", "${basic_auth_encoded}")
        parts, position = [], 0
        for start, end in _templates_in(text):
            expression = text[start + 2 : end - 1].strip()
            parts += [text[position:start], f"${{{self._expression(expression)}}}"]
            position = end
        return "".join([*parts, text[position:]])

    def _expression(self, expression: str) -> str:
        function = re.fullmatch(r"(\w+)\((.*)\)", expression, re.DOTALL)
        if function is None:
            return self._name(expression)
        inner = _LONE.fullmatch(function[2])
        if function[1] not in _FUNCTIONS or inner is None:
            raise NotTranslatedError(f"the function {function[1]} of {function[2]}")
        return f"{self._name(inner[1])} | {_FUNCTIONS[function[1]]}"

    def _name(self, name: str) -> str:
        if found := _SETTING.fullmatch(name):
            own = setting_name(found[1])
            self.settings[own] = None
            return f"additional_config.{own}"
        short = name.removeprefix("credentials.")
        if short.startswith("raw."):
            return short
        for pattern, translate in _COMPUTED:
            if found := pattern.fullmatch(name):
                return translate(found)
        if short not in self._variables:
            raise NotTranslatedError(f"the variable {name}")
        return self._variables[short]


_COMPUTED: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"now:X"), lambda _: "now"),
    (re.compile(r"random"), lambda _: "uuid"),
    (re.compile(r"step\d+\.([\w.]+)"), lambda found: f"raw.{found[1]}"),
    (re.compile(r"basic_auth_encoded"), lambda found: found[0]),
)


def _templates_in(text: str) -> list[tuple[int, int]]:
    """The places of `${...}` in a text; they may hold others.

    Raises:
        NotTranslatedError: one is not closed.
    """
    found, start, depth = [], 0, 0
    for position, letter in enumerate(text):
        if text.startswith("${", position):
            start = position if depth == 0 else start
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                found.append((start, position + 1))
    if depth:
        raise NotTranslatedError(f"a template is not closed: {text}")
    return found
