"""The client certificate of a connection, for calls and for token requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode
from nango_py.secret import reveal

if TYPE_CHECKING:
    from nango_py.json_types import Credentials
    from nango_py.transport.certificates import Certificate


def certificate_of(mode: AuthMode, credentials: Credentials) -> Certificate | None:
    """What TLS connections present, or None."""
    if type(mode).client_certificate is AuthMode.client_certificate:
        return None  # true of most modes; their credentials need not be decrypted for this
    pair = mode.client_certificate(reveal(credentials))
    if pair is None:
        return None
    from nango_py.transport.certificates import Certificate

    return Certificate(*pair)
