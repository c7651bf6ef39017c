"""A request as the modes see it that sign it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import check_header_value
from nango_py.errors import ConfigError, CredentialsError, Position, Problem
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Mapping


@record
class SignedRequest:
    """One attempt, complete but for its signature. It holds credentials: its repr is masked.

    Attributes:
        url: absolute, encoded as it will be sent.
        headers: by name in any case.
        body: b"" for none; None for one that is sent as it is read and cannot be hashed.
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
        """The path and the query, as the request line has them (RFC 9112 3.2.1)."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def __repr__(self) -> str:
        return f"<SignedRequest {self.method} {urlsplit(self.url).hostname}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SignedRequest holds credentials and cannot be pickled")


def render_setting(template: str, variables: Mapping[str, Any], where: str) -> str:
    """A template of the settings with a connection's values.

    Raises:
        ConfigError: a variable has no value; the setting and the variable are named.
    """
    problem: TemplateProblem
    try:
        return compile_template(template).render(variables)
    except TemplateProblem as found:
        problem = found.with_traceback(None)
    del variables
    place, what = Position("auth"), f"{where} {problem.what}"
    raise ConfigError([Problem(place, problem.code, what, problem.expected, problem.help)])


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """The headers, if each is a field value: a pasted credential may hold a line break.

    Raises:
        CredentialsError: one is not; the header is named, its value is not shown.
    """
    told = ""
    for name, value in headers.items():
        try:
            check_header_value(value, name)
        except TemplateProblem as problem:
            told = told or problem.what
    if not told:
        return headers
    del headers, value
    raise CredentialsError(f"the credentials make no header: {told}")
