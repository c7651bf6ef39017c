"""What a user is asked for to connect an integration: made from its auth mode and its blueprint's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.auth.base import get_auth_mode
from nango_py.auth.none import NoAuth
from nango_py.auth.oauth2_cc import OAuth2ClientCredentials
from nango_py.auth.oauth2_jwt import OAuth2Jwt
from nango_py.config.schema.template_places import template_places
from nango_py.config.template.compiler import compile_template
from nango_py.connect.oauth import logs_in_by_browser, provider_fields
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.auth.base import AuthMode
    from nango_py.config.model import Integration

OAUTH, FORM, NONE = "oauth", "form", "none"
CREDENTIALS, ADDITIONAL_CONFIG = "credentials", "additional_config"
FETCHED = frozenset({"refresh_token", "expires_at", "expires_in", "raw", "token_type", "scope"})
"""Fields that a token endpoint fills, and no user."""

LONGEST_LINE, LONGEST_TEXT = 8192, 65_536
_SHOWN = ("group", "name", "title", "help", "kind", "required", "docs_url", "example", "pattern", "suffix")
_MADE_OF = {"basic_auth_encoded": ("username", "password")}


@record
class Field:
    """One thing that the user types or chooses.

    Attributes:
        group: `credentials` or `additional_config`, where the value goes.
        kind: text, password, multiline, number, boolean or choice.
        suffix: what is shown behind the value; cut off where it is pasted too.
        append: what is put behind the value before it is stored.
        default: of a setting; None where there is none.
        blank: whether "" is stored where nothing is typed: the mode wants the field, the API may do without.
    """

    group: str
    name: str
    title: str
    kind: str = "text"
    required: bool = True
    help: str = ""
    docs_url: str = ""
    example: str = ""
    pattern: str = ""
    suffix: str = ""
    append: str = ""
    choices: tuple[Any, ...] = ()
    format: str = ""
    default: Any = None
    whole: bool = False
    minimum: float | None = None
    maximum: float | None = None
    shortest: int = 0
    longest: int = LONGEST_LINE
    blank: bool = False

    def shown(self, value: Any = None) -> dict[str, Any]:
        """The field as JSON for the page, with the value that it begins with."""
        return {
            **{part: getattr(self, part) for part in _SHOWN},
            "choices": list(self.choices),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "whole": self.whole,
            "value": self.default if value is None else value,
        }


@record
class Form:
    """All that is asked for, and what else is stored.

    Attributes:
        kind: `oauth` (a login at the provider, after the fields), `form`, or `none` (nothing to log in with).
        fixed: credentials that are the same for everybody, so that nobody is asked for them.
        decided: settings that the product decides, of those that every connection has to have.
    """

    kind: str
    fields: tuple[Field, ...]
    fixed: Mapping[str, str] = field(repr=False)
    decided: Mapping[str, Any]

    def named(self, group: str) -> dict[str, Field]:
        """The fields of a group, by name."""
        return {found.name: found for found in self.fields if found.group == group}


def form_of(integration: Integration) -> Form:
    """The form of an integration."""
    mode = get_auth_mode(integration.auth_mode)
    settings = tuple(_settings(integration))
    if logs_in_by_browser(integration):
        return Form(OAUTH, settings, {}, _decided(integration))
    words = _plain(integration.settings.get("credentials") or {})
    fixed = {name: said["value"] for name, said in words.items() if "value" in said}
    credentials = tuple(_credentials(integration, mode, words))
    kind = NONE if isinstance(mode, NoAuth) else FORM
    return Form(kind, (*credentials, *settings), fixed, _decided(integration))


def _credentials(
    integration: Integration, mode: AuthMode, words: Mapping[str, Mapping[str, Any]]
) -> Iterator[Field]:
    needed = _needed(integration, mode)
    declared = mode.credentials_schema
    for name, schema in declared["properties"].items():
        said = words.get(name, {})
        is_required = name in declared.get("required", ()) or needed.get(name, False)
        is_asked = is_required or name in needed or name in words or _is_plainly_optional(mode, name)
        if "value" in said or not is_asked:
            continue
        is_secret = said.get("secret", name in mode.secret_variables)
        is_long = bool(schema.get("multiline"))
        yield Field(
            CREDENTIALS,
            name,
            said.get("title") or schema.get("title") or name,
            kind="multiline" if is_long else "password" if is_secret else "text",
            required=said.get("required", is_required),
            longest=LONGEST_TEXT if is_long else LONGEST_LINE,
            shortest=int(schema.get("minLength", 0)),
            blank=is_required and said.get("required") is False,
            **{key: said[key] for key in ("help", "docs_url", "example", "pattern", "append") if key in said},
        )


def _is_plainly_optional(mode: AuthMode, name: str) -> bool:
    """Whether a field is asked for though nothing needs it: where the mode has others that are required.

    A mode that requires none, such as TWO_STEP, lists all that any API may want.
    """
    is_fetched = name in FETCHED or name == mode.token_variable
    return bool(mode.credentials_schema.get("required")) and not is_fetched


def _needed(integration: Integration, mode: AuthMode) -> dict[str, bool]:
    """The credentials that the templates use, and whether they cannot do without."""
    settings = integration.settings
    found: dict[str, bool] = {}
    sent = {block: settings[block] for block in ("auth", "requests", "verification") if block in settings}
    for path in template_places("integration", sent):
        template = compile_template(_at(sent, path))
        for name in template.names:
            for part in _MADE_OF.get(name, (name,)):
                found[part] = found.get(part, False) or name not in template.optional_names
    if isinstance(mode, OAuth2ClientCredentials) and "oauth_client_id" not in integration.app_variables:
        found |= dict.fromkeys(("client_id", "client_secret"), True)
    if isinstance(mode, OAuth2Jwt) and not (settings["auth"].get("assertion") or {}).get("signing_key"):
        found["private_key"] = True
    return {name: is_sure for name, is_sure in found.items() if name != mode.token_variable}


def _settings(integration: Integration) -> Iterator[Field]:
    declared = _plain(integration.settings.get("connection_config") or {})
    told = provider_fields(integration)
    for name, said in declared.get("properties", {}).items():
        if name in told or said.get("asked") is False:
            continue
        yield Field(
            ADDITIONAL_CONFIG,
            name,
            said.get("title") or name,
            kind=_kind(said),
            required=name in declared.get("required", ()),
            help=said.get("description", ""),
            example=str((said.get("examples") or [""])[0]),
            choices=tuple(said.get("enum", ())),
            whole=said.get("type") == "integer",
            shortest=said.get("minLength", 0),
            longest=said.get("maxLength", LONGEST_LINE),
            **{
                key: said[key]
                for key in ("docs_url", "pattern", "suffix", "format", "default", "minimum", "maximum")
                if key in said
            },
        )


def _decided(integration: Integration) -> dict[str, Any]:
    declared = _plain(integration.settings.get("connection_config") or {})
    return {
        name: said["default"]
        for name, said in declared.get("properties", {}).items()
        if said.get("asked") is False and "default" in said and name in declared.get("required", ())
    }


def _kind(said: Mapping[str, Any]) -> str:
    if said.get("enum"):
        return "choice"
    return {"boolean": "boolean", "integer": "number", "number": "number"}.get(said.get("type", ""), "text")


def _plain(value: Any) -> Any:
    """Settings as plain data: texts from the environment are values here, as they are meant for the user."""
    if hasattr(value, "items"):
        return {str.__str__(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str.__str__(value) if isinstance(value, str) else value


def _at(settings: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        settings = settings[part]
    return settings
