"""The request as auth modes that sign requests see it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import check_header_value
from nango_py.errors import ConfigError, CredentialsError, Position, Problem
from nango_py.record import field, record
from nango_py.secret import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Mapping


@record
class SignedRequest(Unpicklable):
    """One attempt, complete except for its signature. It contains credentials: its repr is masked.

    Attributes:
        url: absolute and encoded, as it is sent.
        headers: names in any case.
        body: b"" for none; None for a stream, which cannot be hashed.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The value of a header, or ""."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    @property
    def target(self) -> str:
        """The request target: path and query (RFC 9112 3.2.1)."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def __repr__(self) -> str:
        return f"<SignedRequest {self.method} {urlsplit(self.url).hostname}>"


def render_setting(template: str, variables: Mapping[str, object], where: str) -> str:
    """Render a template of the settings.

    Raises:
        ConfigError: a variable has no value; the message names the setting and the variable.
    """
    problem: TemplateProblem
    try:
        return compile_template(template).render(variables)
    except TemplateProblem as error:
        problem = error.with_traceback(None)
    del variables
    place, what = Position("auth"), f"{where} {problem.what}"
    raise ConfigError([Problem(place, problem.code, what, problem.expected, problem.help)])


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """The headers, after checking that they can be sent: a pasted credential may contain a line break.

    Raises:
        CredentialsError: one is invalid; the message names the header and does not show its value.
    """
    error = ""
    for name, value in headers.items():
        try:
            check_header_value(value, name)
        except TemplateProblem as problem:
            error = error or problem.what
    if not error:
        return headers
    del headers, value
    raise CredentialsError(f"the credentials cannot be sent in a header: {error}")
