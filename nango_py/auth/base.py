"""What an auth mode is: the credentials it accepts, and the template variables it provides."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from nango_py.errors import CredentialsError, nearest, printable
from nango_py.pasted_text import find_unusable, strip_pasted
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from nango_py.config.model import Integration, OwnField
    from nango_py.json_types import Credentials, Schema, Settings
    from nango_py.protocols.signed_request import SignedRequest
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh, TokenRequest

BASIC = "basic_auth_encoded"
"""The variable with base64(username:password), as RFC 7617 writes them."""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "object": dict,
    "integer": int,
    "number": (int, float),
}


class AuthMode:
    """One way to authenticate. A mode is a file in this folder with one registered subclass.

    A blueprint says where a credential goes (`Authorization: Bearer ${access_token}`). The mode says which
    credentials there are, checks them when a connection is registered, and provides the variables.
    """

    name: ClassVar[str]
    """The `auth_mode` of a blueprint."""

    title: ClassVar[str]
    """The name for users, such as "API key"."""

    credentials_schema: ClassVar[Schema]
    """JSON Schema of the credentials of register_connection: an object with named fields, not nested."""

    example_credentials: ClassVar[Credentials]
    """Credentials that match the schema, for docs, sandbox and contract tests."""

    settings_schema: ClassVar[Schema] = {}
    """JSON Schema `properties` of the keys that this mode adds under `auth:` in YAML."""

    required_settings: ClassVar[tuple[str, ...]] = ()
    """Keys of `auth:` that a blueprint with this mode must have."""

    required_app_settings: ClassVar[tuple[str, ...]] = ()
    """Keys that an integrations.yaml entry with this mode must have (E208)."""

    variables: ClassVar[tuple[str, ...]]
    """Template variables that this mode provides in addition to those of every mode."""

    secret_variables: ClassVar[tuple[str, ...]]
    """Those of `variables` whose values are never shown."""

    token_variable: ClassVar[str] = ""
    """The variable that `refresh` provides; "" for a mode without tokens."""

    header_variables: ClassVar[tuple[str, ...]] = ()
    """Those of `variables` that `sign` writes into a header as they are."""

    signs: ClassVar[bool] = False
    """Whether `sign` signs each attempt, after everything else."""

    answers_challenges: ClassVar[bool] = False
    """Whether `answer_challenge` handles a 401 with WWW-Authenticate."""

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The modules that requests and refreshes import, by name; imported when an executor is made.

        An import within a call would fail if no file descriptor is free.

        Args:
            settings: the merged `auth:` section.
        """
        return ()

    def validate(self, credentials: object, where: str) -> dict[str, Any]:
        """`check_credentials` for an argument of any type."""
        if not isinstance(credentials, Mapping):
            raise CredentialsError(f"{where}: credentials must be a mapping of named fields")
        return self.check_credentials(dict(credentials), where)

    def check_credentials(self, credentials: Credentials, where: str) -> dict[str, Any]:
        """The credentials as they are stored: texts without what was copied along by accident.

        Args:
            credentials: the argument of register_connection.
            where: "integration/user", for the message.

        Raises:
            CredentialsError: a field is missing, unknown or invalid.
        """
        properties = self.credentials_schema["properties"]
        for field in credentials:
            if field not in properties:
                near = nearest(str(field), properties)
                hint = f'did you mean "{near}"?' if near else f"{self.name} takes: {', '.join(properties)}"
                raise CredentialsError(f'{where}: unknown credential "{printable(str(field))}"; {hint}')
        for field in self.credentials_schema.get("required", ()):
            if field not in credentials:
                raise CredentialsError(f'{where}: {self.name} needs credential "{field}"')
        cleaned = {
            field: strip_pasted(value) if isinstance(value, str) and not self._is_multiline(field) else value
            for field, value in credentials.items()
        }
        for field, value in cleaned.items():
            self._check_field(field, value, where)
        return cleaned

    def _is_multiline(self, field: str) -> bool:
        return bool(self.credentials_schema["properties"][field].get("multiline"))

    def _check_field(self, field: str, value: object, where: str) -> None:
        """Raise a CredentialsError that names the field, never the value, if the value is invalid."""
        expected = self.credentials_schema["properties"][field].get("type", "string")
        types = [expected] if isinstance(expected, str) else expected
        if isinstance(value, bool) or not any(isinstance(value, _TYPES[name]) for name in types):
            raise CredentialsError(f'{where}: credential "{field}" must be {" or ".join(types)}')
        if isinstance(value, float) and not math.isfinite(value):
            raise CredentialsError(f'{where}: credential "{field}" must be a finite number')
        if isinstance(value, str) and not value:
            raise CredentialsError(f'{where}: credential "{field}" is empty')
        found = find_unusable(value, is_multiline=self._is_multiline(field)) if isinstance(value, str) else ""
        if found:
            raise CredentialsError(f'{where}: credential "{field}" contains {found}; copy it again')

    def variables_of(self, credentials: Credentials) -> dict[str, Any]:
        """The values of `variables`, from stored credentials; `basic_auth_encoded` of a user name."""
        found: dict[str, Any] = {name: credentials[name] for name in self.variables if name in credentials}
        if BASIC in self.variables and "username" in credentials:
            pair = f"{credentials['username']}:{credentials.get('password', '')}"
            found[BASIC] = base64.b64encode(pair.encode()).decode()
        return found

    def is_ready(self, credentials: Credentials) -> bool:
        """Whether the credentials are sufficient for a request; if not, they have to be refreshed first."""
        return not self.token_variable or bool(credentials.get(self.token_variable))

    def expires_at(self, credentials: Credentials) -> float | None:
        """When the credentials expire, in unix seconds; None if unknown, 0 if there is no token yet."""
        if not self.is_ready(credentials):
            return 0.0
        expires_at = credentials.get("expires_at")
        return float(expires_at) if isinstance(expires_at, int | float) else None

    def can_refresh(self, credentials: Credentials, settings: Settings) -> bool:
        """Whether `refresh` works without the user.

        Args:
            credentials: the stored credentials, as plain values.
            settings: the merged `auth:` section.
        """
        return False

    def refresh(self, context: TokenContext) -> TokenRefresh:
        """A generator that yields token requests, receives their responses, and returns the new credentials.

        Raises:
            TokenRefused: the provider rejected the request permanently.
            TokenUnavailable: it may work later.
            ConfigError: a required setting or credential is missing.
        """
        raise context.missing_error(f"{self.name} has no token to refresh")

    def revocation_requests(self, context: TokenContext) -> tuple[TokenRequest, ...]:
        """The requests that revoke the credentials of a deleted connection; their responses are ignored."""
        return ()

    def url_to_sign(self, url: str) -> str:
        """The URL of a request in the encoding in which it is signed, and sent."""
        return url

    def sign(
        self, request: SignedRequest, variables: Mapping[str, Any], settings: Settings, now: float
    ) -> dict[str, str]:
        """The headers to set on one attempt. Called for every attempt, so that nonces are never reused.

        Args:
            request: the attempt, complete except for these headers.
            variables: every template variable of the connection.
            settings: the merged `auth:` section.
            now: unix seconds.

        Raises:
            CredentialsError: a credential is not a valid key or cannot be sent in a header.
            InvalidRequest: the request cannot be signed because its body is a stream.
            ConfigError: a template of the settings has no value.
        """
        return {}

    def answer_challenge(
        self, headers: Mapping[str, str], request: SignedRequest, variables: Mapping[str, Any]
    ) -> dict[str, str] | None:
        """The headers for another attempt after a 401; None if the challenge is unsupported.

        Args:
            headers: of the 401; several WWW-Authenticate headers are joined by ", ".
            request: the rejected request.
            variables: every template variable of the connection.
        """
        return None

    def client_certificate(self, credentials: Credentials) -> tuple[str, str] | None:
        """The PEM texts of certificate chain and private key for TLS connections, or None."""
        return None


def text_field(title: str, *, is_multiline: bool = False) -> dict[str, object]:
    """The JSON Schema of a credential that is text."""
    return {"type": "string", "title": title, "minLength": 1, **({"multiline": True} if is_multiline else {})}


def make_schema(properties: Schema, required: Collection[str] = ()) -> Schema:
    """A `credentials_schema` with these fields and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


_MODES: dict[type[AuthMode], AuthMode] = {}


def get_auth_mode(auth_mode: str) -> AuthMode:
    """The mode with that name. Modes are stateless, so one object serves all connections."""
    cls: type[AuthMode] = AUTH_MODES.get(auth_mode)
    return _MODES.get(cls) or _MODES.setdefault(cls, cls())


def mode_of(integration: Integration) -> AuthMode:
    """The auth mode of an integration, with the fields that its `credentials` add."""
    if not integration.own_fields:
        return get_auth_mode(integration.auth_mode)
    return extended_mode(integration.auth_mode, integration.own_fields)


@lru_cache(maxsize=1024)
def extended_mode(auth_mode: str, own_fields: tuple[OwnField, ...]) -> AuthMode:
    """An auth mode with more fields."""
    mode = get_auth_mode(auth_mode)
    if not own_fields:
        return mode
    schema = mode.credentials_schema
    names = tuple(field.name for field in own_fields)
    added = {field.name: text_field(field.title or field.name) for field in own_fields}
    required = (field.name for field in own_fields if field.is_required)
    extended: type[AuthMode] = type(
        type(mode).__name__,
        (type(mode),),
        {
            "credentials_schema": make_schema(
                {**schema["properties"], **added}, (*schema.get("required", ()), *required)
            ),
            "example_credentials": {
                **mode.example_credentials,
                **{name: f"{name}_example_1234" for name in names},
            },
            "variables": (*mode.variables, *names),
            "secret_variables": (
                *mode.secret_variables,
                *(field.name for field in own_fields if field.is_secret),
            ),
        },
    )
    return extended()
