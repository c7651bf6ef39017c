"""BASIC: another name for USERNAME_PASSWORD."""

from __future__ import annotations

from nango_py.auth.username_password import UsernamePassword
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class Basic(UsernamePassword):
    """`basic_auth_encoded` is base64(username:password) in UTF-8."""

    name = "BASIC"
    title = "User name and password (HTTP Basic)"
