"""Sessions: what an API gives for an OAuth 2 token, by requests after each token response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.protocols import token_responses, two_step_login
from nango_py.record import replaced
from nango_py.secret import secret_leaves

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


def open_session(context: TokenContext, credentials: JsonObject) -> TokenRefresh:
    """Send `additional_steps`; returns the credentials with the token of the last response.

    Without steps they stay as they are. The members of all responses are `raw`, in the steps' templates too.
    The access token is that of the session, because it is what requests to the API send.

    Args:
        context: of the token request.
        credentials: what the token response granted.

    Raises:
        TokenRefused, TokenUnavailable: see `two_step_login.read_step_response`.
    """
    steps = context.settings.get("additional_steps") or ()
    if not steps:
        return credentials
    secrets = secret_leaves(credentials, context.secret_names)
    context = replaced(context, sent_once=(*context.sent_once, *secrets))
    raw = credentials.get("raw")
    seen: dict[str, JsonValue] = {**raw} if isinstance(raw, dict) else {}
    # A refresh token may be valid once, so a step that fails must not lose its successor.
    kept = {name: value for name, value in credentials.items() if name not in {"access_token", "expires_at"}}
    for number, step in enumerate(steps):
        request = two_step_login.build_step_request(context, step, f"additional_steps.{number}.", seen)
        response = yield replaced(request, kept=kept)
        values = two_step_login.read_step_response(response, context)
        seen = {**seen, **values} if isinstance(values, dict) else seen
    session = two_step_login.read_token(context, response, values)
    found: JsonObject = {**kept, "access_token": session["token"]}
    if "expires_at" in session:
        found["expires_at"] = session["expires_at"]
    return {**found, "raw": token_responses.bounded_raw(context, seen)}
