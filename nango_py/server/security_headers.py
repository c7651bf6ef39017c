"""What browsers are told to allow: the security headers of every response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nango_py.server.origins import PublicAddress

Kind = Literal["page", "notice", "data", "script"]
"""`page` is the connect page, `notice` what the popup shows, `script` what other pages load."""

_FEATURES = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "hid", "magnetometer",
    "microphone", "midi", "payment", "serial", "usb",
)  # fmt: skip
PERMISSIONS = ", ".join(f"{name}=()" for name in _FEATURES)

_OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
A_YEAR = "max-age=31536000"


def security_headers(kind: Kind, doors: PublicAddress) -> dict[str, str]:
    """The headers of a response, by what the response is."""
    framed_by = " ".join(doors.origins) if kind == "page" and doors.origins else "'none'"
    headers = {
        "Content-Security-Policy": f"{_policy(kind)}; frame-ancestors {framed_by}",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": PERMISSIONS,
        "Cross-Origin-Resource-Policy": "cross-origin" if kind == "script" else "same-origin",
        # The product's page hears of its window through `window.opener`, also where both have one origin.
        "Cross-Origin-Opener-Policy": "unsafe-none" if kind in {"page", "notice"} else "same-origin",
        "Cache-Control": "no-store",
    }
    if framed_by == "'none'":
        headers["X-Frame-Options"] = "DENY"
    if doors.is_https:
        headers["Strict-Transport-Security"] = A_YEAR
    return headers


def _policy(kind: Kind) -> str:
    if kind == "page":
        # The form of a login is posted here and answered without a redirect, so 'self' is enough.
        return f"{_OWN}; connect-src 'self'; form-action 'self'"
    if kind == "notice":
        return f"{_OWN}; form-action 'none'"
    return "default-src 'none'; base-uri 'none'; form-action 'none'"


def cors_headers(origin: str, doors: PublicAddress) -> dict[str, str]:
    """What a page of another origin may read: the configured origins only, exactly as they are written."""
    if origin and origin in doors.origins:
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After"}
    return {}


PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}
