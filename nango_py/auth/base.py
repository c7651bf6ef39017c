"""What an auth mode is: the credentials it takes, and the template names it offers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.errors import CredentialsError, nearest, printable
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.signed_request import SignedRequest
    from nango_py.protocols.token_exchange import Renewal, TokenContext, TokenRequest


class AuthMode:
    """One way to log in. A mode is a file in this folder with one registered subclass.

    A blueprint says where a credential goes (`Authorization: Bearer ${access_token}`); the mode says
    which credentials there are, checks them when a connection is registered, and names the variables.
    """

    name: ClassVar[str]
    """The `auth_mode` of a blueprint."""

    title: ClassVar[str]
    """A line for people, such as "API key"."""

    credentials_schema: ClassVar[dict[str, Any]]
    """JSON Schema of what register_connection takes. Flat: an object of named fields."""

    example_credentials: ClassVar[dict[str, Any]]
    """Credentials that fit the schema; docs, sandbox and contract tests use them."""

    settings_schema: ClassVar[dict[str, Any]] = {}
    """JSON Schema `properties` of the keys that this mode adds under `auth:` in YAML."""

    required_settings: ClassVar[tuple[str, ...]] = ()
    """Keys of `auth:` that a blueprint of this mode must give."""

    required_app_settings: ClassVar[tuple[str, ...]] = ()
    """Keys of an integrations.yaml entry that this mode cannot do without (E208)."""

    variables: ClassVar[tuple[str, ...]]
    """Template names that this mode offers beside those of every mode."""

    secret_variables: ClassVar[tuple[str, ...]]
    """Those of `variables` whose values are never shown."""

    token_variable: ClassVar[str] = ""
    """The variable whose value a renewal fetches; "" for a mode that fetches none."""

    signs: ClassVar[bool] = False
    """Whether each attempt is signed by `sign`, last of all."""

    answers_challenges: ClassVar[bool] = False
    """Whether a 401 with WWW-Authenticate is answered by `answer_challenge`."""

    def check_credentials(self, credentials: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The credentials as they are stored, or a CredentialsError that names the wrong field.

        Args:
            credentials: what the caller of register_connection gave.
            where: "integration/user", for the message.
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
        return {field: self._checked(field, value, where) for field, value in credentials.items()}

    def _checked(self, field: str, value: Any, where: str) -> Any:
        """One field's value if it has the declared type; the message names the field, never the value."""
        expected = self.credentials_schema["properties"][field].get("type", "string")
        fits: dict[str, Any] = {"string": str, "object": dict, "integer": int, "number": (int, float)}
        kinds = [expected] if isinstance(expected, str) else expected
        if not any(isinstance(value, fits[kind]) and not isinstance(value, bool) for kind in kinds):
            raise CredentialsError(f'{where}: credential "{field}" must be {" or ".join(kinds)}')
        if isinstance(value, float) and not math.isfinite(value):
            raise CredentialsError(f'{where}: credential "{field}" must be a finite number')
        if isinstance(value, str) and not value:
            raise CredentialsError(f'{where}: credential "{field}" is empty')
        return value

    def variables_of(self, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """The values of `variables`, from stored credentials."""
        return {name: credentials[name] for name in self.variables if name in credentials}

    def is_ready(self, credentials: Mapping[str, Any]) -> bool:
        """Whether a request can be rendered; if not, a renewal comes first."""
        return not self.token_variable or bool(credentials.get(self.token_variable))

    def expires_at(self, credentials: Mapping[str, Any]) -> float | None:
        """When the credentials stop working, in unix seconds.

        None where that is not known; 0 where there is no token yet.
        """
        if not self.is_ready(credentials):
            return 0.0
        moment = credentials.get("expires_at")
        return float(moment) if isinstance(moment, int | float) else None

    def can_renew(self, credentials: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Whether `renewal` can give new credentials without the user.

        Args:
            credentials: the stored ones, as plain values.
            settings: the merged `auth:` block.
        """
        return False

    def renewal(self, context: TokenContext) -> Renewal:
        """A generator that yields token requests, is sent their responses, and returns what to store.

        Raises:
            TokenRefused: it is final.
            TokenUnavailable: later it may work.
            ConfigError: a setting or a credential that it needs is missing.
        """
        raise context.missing(f"{self.name} has no token to renew")

    def revocations(self, context: TokenContext) -> tuple[TokenRequest, ...]:
        """The requests that withdraw the credentials when a connection is deleted; any response will do."""
        return ()

    def sign(
        self, request: SignedRequest, variables: Mapping[str, Any], settings: Mapping[str, Any], now: float
    ) -> dict[str, str]:
        """The headers to add to or replace in one attempt. Called afresh for each: nonces are never reused.

        Args:
            request: the attempt, complete but for these headers.
            variables: every template variable of the connection.
            settings: the merged `auth:` block.
            now: unix seconds.

        Raises:
            CredentialsError: a credential cannot sign, or cannot stand in a header.
            InvalidRequest: the request cannot be signed: its body is a stream.
            ConfigError: a template of the settings has no value.
        """
        return {}

    def answer_challenge(
        self, headers: Mapping[str, str], request: SignedRequest, variables: Mapping[str, Any]
    ) -> dict[str, str] | None:
        """The headers with which to send a request again after a 401; None if there is no response.

        Args:
            headers: of the 401; several WWW-Authenticate are joined by ", ".
            request: the one that was refused.
            variables: every template variable of the connection.
        """
        return None

    def client_certificate(self, credentials: Mapping[str, Any]) -> tuple[str, str] | None:
        """The PEM texts (certificate chain, private key) to present on TLS connections; None for none."""
        return None


_MODES: dict[type[AuthMode], AuthMode] = {}


def get_auth_mode(auth_mode: str) -> AuthMode:
    """The mode of that name. Modes keep no state, so one object serves all connections."""
    cls: type[AuthMode] = AUTH_MODES.get(auth_mode)
    return _MODES.get(cls) or _MODES.setdefault(cls, cls())


def validate_credentials(auth_mode: str, credentials: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The credentials as a connection of this mode stores them.

    Args:
        auth_mode: the name of a registered mode.
        credentials: what the caller gave.
        where: "integration/user", for the message.

    Raises:
        CredentialsError: a field is missing, unknown or of the wrong type.
    """
    if not hasattr(credentials, "items"):
        raise CredentialsError(f"{where}: credentials must be a mapping of named fields")
    return get_auth_mode(auth_mode).check_credentials(dict(credentials), where)
