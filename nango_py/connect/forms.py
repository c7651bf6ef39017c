"""The form with which a user connects an integration, made from its auth mode and its blueprint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nango_py.auth.base import mode_of
from nango_py.auth.none import NoAuth
from nango_py.auth.oauth2_cc import OAuth2ClientCredentials
from nango_py.auth.oauth2_jwt import OAuth2Jwt
from nango_py.auth.oauth2_saml import OAuth2Saml
from nango_py.config.schema.template_places import template_places
from nango_py.config.template.compiler import compile_template
from nango_py.config.values import plain
from nango_py.connect.login_kinds import uses_browser_login
from nango_py.connect.oauth import provider_fields
from nango_py.connect.words import lower_title
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.auth.base import AuthMode
    from nango_py.config.model import Integration
    from nango_py.json_types import JsonObject, JsonValue, Settings

OAUTH, FORM, NONE = "oauth", "form", "none"
CREDENTIALS, ADDITIONAL_CONFIG = "credentials", "additional_config"
TOKEN_FIELDS = frozenset({"refresh_token", "expires_at", "expires_in", "raw", "token_type", "scope"})
"""Credentials that a token endpoint issues, and no user enters."""

MAX_LINE, MAX_TEXT = 8192, 65_536
_SHOWN = (
    "group", "name", "title", "called", "help", "kind", "required", "docs_url", "example", "pattern",
    "suffix", "minimum", "maximum",
)  # fmt: skip
_PREFIX = re.compile(r"\^([A-Za-z0-9_-]+)([?*{]?)")
"""Literal characters at the start of a pattern, and what may make the last one absent."""

_COMPUTED_FROM = {"basic_auth_encoded": ("username", "password")}
_KINDS = {"boolean": "boolean", "integer": "number", "number": "number"}


@record
class Field:
    """One field of a form.

    Attributes:
        group: `credentials` or `additional_config`: where the value is stored.
        kind: text, password, multiline, number, boolean or choice.
        suffix: shown behind the input, and removed from pasted values.
        append: added to the value before it is stored.
        default: the initial value of a setting, or None.
        called: what to call it in a sentence, such as "Fleetly API key".
        allows_blank: whether an empty input is stored as "": the mode requires the field, the API does not.
    """

    group: str
    name: str
    title: str
    called: str = ""
    kind: str = "text"
    required: bool = True
    help: str = ""
    docs_url: str = ""
    example: str = ""
    pattern: str = ""
    suffix: str = ""
    append: str = ""
    choices: tuple[JsonValue, ...] = ()
    format: str = ""
    default: JsonValue = None
    is_integer: bool = False
    minimum: float | None = None
    maximum: float | None = None
    min_length: int = 0
    max_length: int = MAX_LINE
    allows_blank: bool = False

    @property
    def prefix(self) -> str:
        """The text that every valid value begins with, by its pattern; "" if there is none."""
        found = _PREFIX.match(self.pattern)
        if found is None or "|" in re.sub(r"\([^()]*\)", "", self.pattern):
            return ""
        return found[1][:-1] if found[2] else found[1]

    @property
    def noun(self) -> str:
        """`key` or `token` if it is one, else ""."""
        last = self.title.lower().rpartition(" ")[2]
        return last if last in {"key", "token"} else ""

    def to_json(self, value: JsonValue = None) -> JsonObject:
        """The field for the page, with its initial value."""
        shown: JsonObject = {name: getattr(self, name) for name in _SHOWN}
        initial = self.default if value is None else value
        shown |= {"prefix": self.prefix, "noun": self.noun}
        return {**shown, "choices": list(self.choices), "whole": self.is_integer, "value": initial}


@record
class Form:
    """The fields of an integration, and what is stored besides.

    Attributes:
        kind: `oauth` (a login at the provider follows), `form`, or `none` (the API needs no login).
        fixed_credentials: credentials that are the same for all users.
        fixed_config: settings that the product decides and every connection needs.
    """

    kind: str
    fields: tuple[Field, ...]
    fixed_credentials: Mapping[str, str] = field(repr=False)
    fixed_config: Mapping[str, JsonValue]

    def fields_of(self, group: str) -> dict[str, Field]:
        """The fields of a group, by name."""
        return {field.name: field for field in self.fields if field.group == group}


def make_form(integration: Integration) -> Form:
    """The form of an integration."""
    mode = mode_of(integration)
    config = plain(integration.settings.get("connection_config") or {})
    settings = tuple(_make_settings_fields(integration, config))
    if uses_browser_login(integration):
        return Form(OAUTH, settings, {}, _find_fixed_config(config))
    declared = plain(integration.settings.get("credentials") or {})
    fixed = {name: options["value"] for name, options in declared.items() if "value" in options}
    credentials = tuple(_make_credential_fields(integration, mode, declared))
    kind = NONE if isinstance(mode, NoAuth) and not integration.own_fields else FORM
    return Form(kind, (*credentials, *settings), fixed, _find_fixed_config(config))


def _make_credential_fields(
    integration: Integration, mode: AuthMode, declared: Mapping[str, Settings]
) -> Iterator[Field]:
    used = _find_used_credentials(integration, mode)
    brand = integration.title or integration.name
    own = {field.name for field in integration.own_fields}
    required_by_mode = mode.credentials_schema.get("required", ())
    for name, schema in mode.credentials_schema["properties"].items():
        options = declared.get(name, {})
        is_required = name in required_by_mode or used.get(name, False)
        is_asked = is_required or name in used or name in declared or _is_optional(mode, name)
        if "value" in options or not is_asked:
            continue
        is_secret = options.get("secret", name in mode.secret_variables)
        is_long = bool(schema.get("multiline"))
        title = options.get("title") or schema.get("title") or name
        yield Field(
            CREDENTIALS,
            name,
            title,
            called=_add_brand(title, brand),
            kind="multiline" if is_long else "password" if is_secret else "text",
            required=options.get("required", is_required),
            min_length=int(schema.get("minLength", 0)),
            max_length=MAX_TEXT if is_long else MAX_LINE,
            allows_blank=is_required and options.get("required") is False and name not in own,
            **_pick(options, "help", "docs_url", "example", "pattern", "append"),
        )


def _is_optional(mode: AuthMode, name: str) -> bool:
    """Whether to offer a field that nothing uses: in modes that distinguish required from optional fields.

    Modes without required fields, such as TWO_STEP, list everything that any API may need.
    """
    is_issued = name in TOKEN_FIELDS or name == mode.token_variable
    return bool(mode.credentials_schema.get("required")) and not is_issued


def _find_used_credentials(integration: Integration, mode: AuthMode) -> dict[str, bool]:
    """The credentials that templates use, and whether they are required."""
    settings = integration.settings
    used: dict[str, bool] = {}
    sent = {block: settings[block] for block in ("auth", "requests", "verification") if block in settings}
    for path in template_places("integration", sent):
        template = compile_template(_get(sent, path))
        for variable in template.names:
            for name in _COMPUTED_FROM.get(variable, (variable,)):
                used[name] = used.get(name, False) or variable not in template.optional_names
    if isinstance(mode, OAuth2ClientCredentials) and "oauth_client_id" not in integration.app_variables:
        used |= dict.fromkeys(("client_id", "client_secret"), True)
    if isinstance(mode, OAuth2Jwt | OAuth2Saml):
        signed = settings["auth"].get(mode.assertion_setting) or {}
        unstated = [field for key, field in mode.assertion_fields.items() if not signed.get(key)]
        used |= dict.fromkeys(unstated, True)
    return {name: is_required for name, is_required in used.items() if name != mode.token_variable}


def _make_settings_fields(integration: Integration, config: Settings) -> Iterator[Field]:
    from_provider = provider_fields(integration)
    for name, options in config.get("properties", {}).items():
        if name in from_provider or options.get("asked") is False:
            continue
        title = options.get("title") or name
        yield Field(
            ADDITIONAL_CONFIG,
            name,
            title,
            called=lower_title(title, integration.title or integration.name),
            kind="choice" if options.get("enum") else _KINDS.get(options.get("type", ""), "text"),
            required=name in config.get("required", ()),
            help=options.get("description", ""),
            example=str((options.get("examples") or [""])[0]),
            choices=tuple(options.get("enum", ())),
            is_integer=options.get("type") == "integer",
            min_length=options.get("minLength", 0),
            max_length=options.get("maxLength", MAX_LINE),
            **_pick(options, "docs_url", "pattern", "suffix", "format", "default", "minimum", "maximum"),
        )


def _add_brand(title: str, brand: str) -> str:
    """The title with the brand: "Fleetly API key" for "API key"."""
    called = lower_title(title, brand)
    return called if brand.lower() in title.lower() else f"{brand} {called}"


def _find_fixed_config(config: Settings) -> JsonObject:
    return {
        name: options["default"]
        for name, options in config.get("properties", {}).items()
        if options.get("asked") is False and "default" in options and name in config.get("required", ())
    }


def _pick(options: Settings, *names: str) -> Settings:
    return {name: options[name] for name in names if name in options}


def _get(settings: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        settings = settings[key]
    return settings
