"""How providers refresh and refuse tokens: rotation, lifetimes, and each provider's form of a refusal.

`source` is where refusals were seen; `unconfirmed` ones are from memory, as are lives and rotations without
`is_confirmed`. They test the rules all the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Words(NamedTuple):
    """One provider: its refusals, each (status, body), and how its tokens live.

    Attributes:
        rotation: of refresh tokens: `none`, `grace` (the old one is good for `grace` seconds) or `strict`.
        life: of access tokens in seconds; 0 if responses do not say.
    """

    dead: tuple[tuple[int, Any], ...]
    client: tuple[tuple[int, Any], ...]
    later: tuple[tuple[int, Any], ...] = ()
    auth: dict[str, Any] = {}  # noqa: RUF012 - never changed
    source: str = "unconfirmed"
    rotation: str = "none"
    life: float = 3600
    grace: float = 0
    is_confirmed: bool = False


def _rfc(code: str, text: str = "") -> dict[str, str]:
    return {"error": code, "error_description": text} if text else {"error": code}


REFUSALS: dict[str, Words] = {
    "google": Words(
        dead=(
            (400, _rfc("invalid_grant", "Token has been expired or revoked.")),
            (400, {**_rfc("invalid_grant", "reauth related error"), "error_subtype": "invalid_rapt"}),
        ),
        client=(
            (401, _rfc("invalid_client", "The OAuth client was not found.")),
            (401, _rfc("deleted_client", "The OAuth client was deleted.")),
            (401, _rfc("unauthorized_client", "Unauthorized")),
        ),
        source="https://www.nango.dev/blog/google-oauth-invalid-grant-token-has-been-expired-or-revoked",
    ),
    "microsoft": Words(
        dead=(
            (
                400,
                {**_rfc("invalid_grant", "AADSTS700082: The refresh token has expired due to inactivity.")},
            ),
            (400, {**_rfc("interaction_required", "AADSTS50076"), "suberror": "basic_action"}),
            (400, {**_rfc("invalid_grant", "AADSTS65001"), "suberror": "consent_required"}),
        ),
        client=(
            (401, _rfc("invalid_client", "AADSTS7000215: Invalid client secret provided.")),
            (401, _rfc("invalid_client", "AADSTS7000222: The provided client secret keys are expired.")),
            (400, _rfc("unauthorized_client", "AADSTS700016: Application with identifier 'x' was not found")),
        ),
        later=((400, _rfc("temporarily_unavailable")),),
        rotation="grace",
        grace=86400,
    ),
    "slack": Words(
        dead=tuple(
            (200, {"ok": False, "error": code})
            for code in (
                "invalid_grant",
                "invalid_refresh_token",
                "token_expired",
                "token_revoked",
                "account_inactive",
            )
        ),
        client=tuple(
            (200, {"ok": False, "error": code})
            for code in ("invalid_client_id", "bad_client_secret", "bad_redirect_uri")
        ),
        later=((200, {"ok": False, "error": "ratelimited"}),),
        source="https://docs.slack.dev/authentication/using-token-rotation",
        rotation="strict",
        life=43200,
        is_confirmed=True,
    ),
    "hubspot": Words(
        dead=(
            (400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}),
            (400, {"status": "BAD_REFRESH_TOKEN", "error": "invalid_grant"}),
        ),
        client=((400, {"status": "BAD_CLIENT_ID", "message": "missing or unknown client id"}),),
        source="https://github.com/airbytehq/airbyte/issues/79592",
        life=1800,
    ),
    "salesforce": Words(
        dead=(
            (400, _rfc("invalid_grant", "expired access/refresh token")),
            (400, _rfc("invalid_grant", "inactive user")),
        ),
        client=(
            (400, _rfc("invalid_client", "invalid client credentials")),
            (400, _rfc("invalid_client_id", "client identifier invalid")),
            (400, _rfc("unsupported_grant_type", "grant type not supported")),
        ),
        source="https://www.nango.dev/blog/salesforce-oauth-refresh-token-invalid-grant",
        life=0,
    ),
    "xero": Words(
        dead=((400, _rfc("invalid_grant")),),
        client=((400, _rfc("invalid_client")), (400, _rfc("unauthorized_client"))),
        source="https://github.com/XeroAPI/Xero-NetStandard/issues/257",
        rotation="grace",
        life=1800,
        grace=1800,
    ),
    "quickbooks": Words(
        dead=(
            (400, _rfc("invalid_grant")),
            (400, _rfc("invalid_grant", "Incorrect Token type or clientID")),
        ),
        client=((401, _rfc("invalid_client")),),
        source="https://github.com/intuit/oauth-jsclient/issues/77",
        rotation="grace",
        grace=86400,
    ),
    "zoho": Words(
        dead=((200, _rfc("invalid_code")), (200, _rfc("invalid_token"))),
        client=((200, _rfc("invalid_client")), (200, _rfc("invalid_client_secret"))),
        later=(
            (
                400,
                {
                    "error": "Access Denied",
                    "error_description": "You have made too many requests continuously.",
                    "status": "failure",
                },
            ),
        ),
    ),
    "atlassian": Words(
        dead=(
            (403, _rfc("unauthorized_client", "refresh_token is invalid")),
            (403, _rfc("invalid_grant", "Unknown or invalid refresh token.")),
        ),
        client=((401, _rfc("access_denied", "Unauthorized")), (401, _rfc("unauthorized_client"))),
        source="https://github.com/raycast/extensions/issues/11836",
        rotation="grace",
        grace=600,
    ),
    "linkedin": Words(
        dead=(
            (400, _rfc("invalid_grant", "Token has been expired or revoked.")),
            (400, _rfc("invalid_request", "The provided authorization grant or refresh token is invalid.")),
            (400, _rfc("invalid_request", "The refresh token has been revoked")),
        ),
        client=(
            (401, _rfc("invalid_client", "Client authentication failed")),
            (400, _rfc("invalid_request", 'A required parameter "client_id" is missing')),
            (400, _rfc("invalid_request", "Missing required parameter: refresh_token")),
        ),
        source="https://nango.dev/blog/linkedin-oauth-refresh-token-invalid-grant",
        life=5184000,
        is_confirmed=True,
    ),
    "github": Words(
        dead=(
            (200, _rfc("bad_refresh_token", "The refresh token passed is incorrect or expired.")),
            (200, b"error=bad_refresh_token&error_description=The+refresh+token+is+incorrect+or+expired."),
        ),
        client=(
            (
                200,
                _rfc(
                    "incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."
                ),
            ),
            (200, b"error=incorrect_client_credentials&error_description=incorrect."),
        ),
        source="https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app",
        rotation="strict",
        life=28800,
    ),
    "shopify": Words(
        dead=(
            (400, _rfc("invalid_grant", "Token has been expired or revoked.")),
            (400, _rfc("invalid_request", "This request requires an active refresh_token")),
        ),
        client=(
            (400, _rfc("application_cannot_be_found")),
            (401, _rfc("invalid_client", "Client authentication failed")),
        ),
        source="https://nango.dev/blog/shopify-oauth-refresh-token-invalid-grant",
        rotation="grace",
        grace=3600,
        is_confirmed=True,
    ),
    "exact-online": Words(
        dead=(
            (400, _rfc("invalid_grant")),
            (401, _rfc("unauthorized_client", "Old refresh token used.")),
        ),
        client=((401, _rfc("invalid_client")),),
        later=((400, _rfc("access_denied", "Rate limit exceeded: access_token not expired")),),
        source="https://github.com/websmurf/laravel-exact-online/issues/31",
        rotation="strict",
        life=600,
        is_confirmed=True,
        auth={"renew_before_seconds": 30},
    ),
    "directus": Words(
        dead=(
            (
                401,
                {
                    "errors": [
                        {
                            "message": "Invalid user credentials.",
                            "extensions": {"code": "INVALID_CREDENTIALS"},
                        }
                    ]
                },
            ),
            (401, {"errors": [{"message": "Token expired.", "extensions": {"code": "TOKEN_EXPIRED"}}]}),
        ),
        client=((403, {"errors": [{"message": "Forbidden.", "extensions": {"code": "FORBIDDEN"}}]}),),
        source="https://github.com/directus/directus/issues/18928",
        rotation="strict",
        life=900,
        is_confirmed=True,
    ),
    "docusign": Words(
        dead=(
            (400, _rfc("invalid_grant")),
            (400, _rfc("invalid_grant", "expired_client_token")),
        ),
        client=((400, _rfc("invalid_client")), (401, _rfc("unauthorized_client"))),
        source="https://github.com/docusign/code-examples-ruby/issues/18",
        rotation="grace",
        life=28800,
        grace=86400,
    ),
    "dropbox": Words(
        dead=((400, _rfc("invalid_grant", "refresh token is invalid or revoked")),),
        client=((400, _rfc("invalid_client: Invalid client_id or client_secret")),),
        source="https://github.com/nextcloud/integration_dropbox/issues/34",
        life=14400,
    ),
    "fitbit": Words(
        dead=(
            (
                400,
                {
                    "errors": [{"errorType": "invalid_grant", "message": "Refresh token invalid: x."}],
                    "success": False,
                },
            ),
        ),
        client=((401, {"errors": [{"errorType": "invalid_client", "message": "Invalid header"}]}),),
        source="https://github.com/aarondcoleman/Fitbit.NET/issues/320",
        rotation="strict",
        life=28800,
    ),
    "strava": Words(
        dead=(
            (
                400,
                {
                    "message": "Bad Request",
                    "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}],
                },
            ),
        ),
        client=(
            (
                401,
                {
                    "message": "Authorization Error",
                    "errors": [{"resource": "Application", "field": "", "code": "invalid"}],
                },
            ),
        ),
        source="https://github.com/yihong0618/running_page/issues/523",
        rotation="strict",
        life=21600,
    ),
    "twitch": Words(
        dead=((400, {"status": 400, "message": "Invalid refresh token"}),),
        client=((403, {"status": 403, "message": "invalid client secret"}),),
        source="https://github.com/teekeks/pytwitchapi/issues/37",
        life=14400,
    ),
    "zoom": Words(
        dead=(
            (400, {"reason": "Invalid Token!", "error": "invalid_grant"}),
            (401, {"reason": "Invalid Token!", "error": "invalid_request"}),
        ),
        client=((400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}),),
        source="https://github.com/raycast/extensions/issues/10896",
        rotation="strict",
    ),
    "x": Words(
        dead=((400, _rfc("invalid_request", "Value passed for the token was invalid.")),),
        client=((401, _rfc("unauthorized_client", "Missing valid authorization header")),),
        rotation="strict",
        life=7200,
    ),
    "without words": Words(
        dead=((401, b""), (401, b"<html>Unauthorized</html>"), (401, {"message": "Unauthorized"})),
        client=((401, {"message": "unknown client"}), (403, b"<html>Forbidden</html>"), (404, b"")),
    ),
    "other forms": Words(
        dead=(
            (400, b"invalid_grant"),
            (400, b"The refresh token has been revoked."),
            (400, "invalid_grant"),
            (400, {"fault": {"faultstring": "Invalid Refresh Token", "detail": {"errorcode": "oauth.x"}}}),
            (400, {"fault": {"faultstring": "x", "detail": {"errorcode": "x.invalid_refresh_token"}}}),
            (400, {"ErrorCode": "INVALID_GRANT"}),
            (400, {"errors": {"base": ["refresh token expired"]}}),
            (400, {"non_field_errors": ["The refresh token is invalid."]}),
            (400, {"refresh_token": ["This refresh token was revoked."]}),
            (400, {"errorMessage": "Refresh token has expired"}),
        ),
        client=(
            (400, b"invalid_client"),
            (400, "invalid_client"),
            (400, {"fault": {"faultstring": "x", "detail": {"errorcode": "oauth.v2.invalid_client"}}}),
            (400, {"refresh_token": ["This field is required."]}),
            (403, b"<p>The refresh token is invalid.</p>"),
        ),
    ),
    "declared": Words(
        dead=((404, {"message": "Not Found"}), (400, {"oops": {"n": 7}}), (500, b"grant is gone")),
        client=((403, {"message": "Not Found"}), (400, {"oops": {"n": 8}})),
        later=((500, b"other"),),
        auth={
            "grant_ended": [
                {"status": [404, 410]},
                {"status": 400, "json": {"path": "oops.n", "equals": 7}},
                {"body_contains": "grant is gone"},
            ]
        },
    ),
}
