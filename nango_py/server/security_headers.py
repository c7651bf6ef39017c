"""The security headers of every response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nango_py.server.origins import PublicAddress

Kind = Literal["page", "notice", "choice", "data", "script"]
"""`page` is the connect page, `notice` a page in a login window, `choice` one with a form, and `script` what
other pages may load."""

_WINDOWS = frozenset({"page", "notice", "choice"})
_FEATURES = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "hid", "magnetometer",
    "microphone", "midi", "payment", "serial", "usb",
)  # fmt: skip
PERMISSIONS = ", ".join(f"{name}=()" for name in _FEATURES)

_OWN_FILES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
ONE_YEAR = "max-age=31536000"


def security_headers(kind: Kind, address: PublicAddress) -> dict[str, str]:
    """The headers for a kind of response."""
    frame_ancestors = " ".join(address.origins) if kind == "page" and address.origins else "'none'"
    headers = {
        "Content-Security-Policy": f"{_policy(kind)}; frame-ancestors {frame_ancestors}",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": PERMISSIONS,
        "Cross-Origin-Resource-Policy": "cross-origin" if kind == "script" else "same-origin",
        # The product's page gets the result through `window.opener`, even if both have the same origin.
        "Cross-Origin-Opener-Policy": "unsafe-none" if kind in _WINDOWS else "same-origin",
        "Cache-Control": "no-store",
    }
    if frame_ancestors == "'none'":
        headers["X-Frame-Options"] = "DENY"
    if address.is_https:
        headers["Strict-Transport-Security"] = ONE_YEAR
    return headers


def _policy(kind: Kind) -> str:
    if kind == "page":
        # The login form is posted here and the response is not a redirect, so 'self' is enough.
        return f"{_OWN_FILES}; connect-src 'self'; form-action 'self'"
    if kind == "notice":
        return f"{_OWN_FILES}; form-action 'none'"
    if kind == "choice":
        return f"{_OWN_FILES}; form-action 'self'"
    return "default-src 'none'; base-uri 'none'; form-action 'none'"


def cors_headers(origin: str, address: PublicAddress) -> dict[str, str]:
    """CORS headers, for origins in `config.connect_origins` only. They are compared exactly."""
    if origin and origin in address.origins:
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After"}
    return {}


PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}
