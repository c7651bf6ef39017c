"""What a blueprint adds to the credentials of its auth mode, and what it asks of the product."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.model import OwnField
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.variables import COMMON_NAMES
from nango_py.config.values import MAPPINGS, list_at, mapping_at
from nango_py.errors import Problem, nearest, printable
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

_NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,63}")
BROWSER_LOGINS = frozenset({"OAUTH1", "OAUTH2"})
"""Modes whose users log in at the provider instead of filling in a form."""


def own_fields(settings: Settings) -> tuple[OwnField, ...]:
    """The fields that `credentials` and `after_login` add to the auth mode of checked settings."""
    declared = settings.get("credentials") or {}
    secret = _kept_secrets(settings)
    if not declared and not secret:
        return ()
    mode = AUTH_MODES.get(str.__str__(settings["auth"]["auth_mode"]))
    known = mode.credentials_schema["properties"]
    kept = tuple(OwnField(name, title="", is_secret=True, is_required=False) for name in secret)
    return kept + tuple(
        OwnField(
            name=str.__str__(name),
            title=str(options.get("title", "")),
            is_secret=options.get("secret") is True,
            is_required=options.get("required", True),
        )
        for name, options in declared.items()
        if name not in known and not name.startswith("x-")
    )


def _kept_secrets(settings: object) -> tuple[str, ...]:
    """The names under which `after_login` keeps tokens, in settings that may be wrong."""
    return tuple(dict.fromkeys(name for name, _ in _kept_places(settings)))


def _kept_places(settings: object) -> Iterator[tuple[str, Path]]:
    for path, step in _steps(settings):
        for name in mapping_at(step, "keep_secret"):
            yield str.__str__(name), (*path, "keep_secret", name)


def _steps(settings: object) -> Iterator[tuple[Path, Settings]]:
    for index, step in enumerate(list_at(settings, "auth", "after_login")):
        if isinstance(step, MAPPINGS):
            yield ("auth", "after_login", index), step


def own_names(settings: Settings) -> frozenset[str]:
    """The names of those fields, in settings that may be wrong."""
    return frozenset(_kept_secrets(settings)) | frozenset(
        name
        for name, options in mapping_at(settings, "credentials").items()
        if isinstance(options, MAPPINGS) and isinstance(options.get("secret"), bool)
    )


_DECLARED_UNDER = {"hosts": ("hosts", "table"), "app": ("app_credentials", "credential")}


def check_declared_names(template: Template, settings: Settings) -> None:
    """Refuse `${hosts.x}` and `${app.x}` that the file does not declare.

    Raises:
        TemplateProblem: E306.
    """
    for name in template.names:
        root, _, part = name.partition(".")
        if root not in _DECLARED_UNDER:
            continue
        block, noun = _DECLARED_UNDER[root]
        known = list(mapping_at(settings, block))
        if part not in known:
            near = nearest(part, known)
            hint = f"did you mean {root}.{near}?" if near else f"declare it under {block}"
            what = f'{block} has no {noun} "{printable(part, 64)}"'
            raise TemplateProblem("E306", what, hint=hint, offset=template.offset_of(name))


def check_own_fields(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Problems of `credentials`: undeclared fields that the auth mode does not have (E202)."""
    mode = mapping_at(settings, "auth").get("auth_mode")
    if not isinstance(mode, str) or mode not in AUTH_MODES.names():
        return
    mode = str.__str__(mode)
    cls = AUTH_MODES.get(mode)
    known = cls.credentials_schema["properties"]
    yield from _check_kept_secrets(settings, locator, {*known, *cls.variables})
    for name, options in mapping_at(settings, "credentials").items():
        if name in known or name.startswith("x-"):
            continue
        where = locator.key_position(("credentials", name))
        shown = printable(name, 64)
        if not isinstance(options, MAPPINGS) or "secret" not in options:
            near = nearest(name, known)
            it_has = f"it has: {', '.join(known)}; " if known else ""
            help_ = f'did you mean "{near}"? ' if near else it_has
            help_ += "a field that it does not have states `secret: true` or `secret: false`"
            yield Problem(where, "E202", f'{mode} has no credential "{shown}"', "", help_)
        elif not _NAME.fullmatch(name):
            expected = "expected a name of letters, digits and _"
            yield Problem(where, "E204", f'the name "{shown}" is not allowed', expected)
        elif name in COMMON_NAMES or name in cls.variables:
            yield Problem(where, "E204", f"${{{shown}}} has another meaning in templates", "", "rename it")
        elif mode in BROWSER_LOGINS:
            help_ = "use connection_config for settings, and app_credentials for secrets of your product"
            what = f"users of {mode} log in at the provider, so no form asks for this credential"
            yield Problem(where, "E202", what, "", help_)


def _check_kept_secrets(settings: Settings, locator: Located, taken: set[str]) -> Iterator[Problem]:
    """Names of `keep_secret` that are not allowed, or have another meaning (E204); choices of it (E203)."""
    for path, step in _steps(settings):
        if "choose" in step and not step.get("keep"):
            help_ = "keep the id of what is chosen"
            yield Problem(locator.key_position((*path, "choose")), "E203", 'missing key "keep"', "", help_)
    for name, path in _kept_places(settings):
        if name.startswith("x-") or not _NAME.fullmatch(name):
            what = f'the name "{printable(name, 64)}" is not allowed'
            yield Problem(
                locator.key_position(path), "E204", what, "expected a name of letters, digits and _"
            )
        elif name in COMMON_NAMES or name in taken:
            what = f"${{{name}}} has another meaning in templates"
            yield Problem(locator.key_position(path), "E204", what, "", "rename it")


def check_app_credentials(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Problems of `app`: values that `app_credentials` does not ask for (E202)."""
    known = list(mapping_at(settings, "app_credentials"))
    for name in mapping_at(settings, "app"):
        if name not in known and not name.startswith("x-"):
            near = nearest(name, known)
            help_ = f'did you mean "{near}"?' if near else f"it asks for: {', '.join(known) or 'none'}"
            what = f'the blueprint asks for no app credential "{printable(name, 64)}"'
            yield Problem(locator.key_position(("app", name)), "E202", what, "", help_)


def missing_app_credentials(settings: Settings) -> list[str]:
    """The values that `app` has to have, and does not."""
    given = mapping_at(settings, "app")
    return [
        name
        for name, options in mapping_at(settings, "app_credentials").items()
        if isinstance(options, MAPPINGS) and options.get("required") is not False and not given.get(name)
    ]
