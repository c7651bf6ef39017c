"""`counted_per`: the owner of a quota, and the text with which the keys of its counters begin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol, TypeAlias

from nango_py.record import record

Variables: TypeAlias = Mapping[str, object]

CONNECTION, INTEGRATION = "connection", "integration"
TRIAL = "trial"
"""Counts credentials that are not stored."""

NEWCOMER = "newcomer"
"""Counts connections of a shared quota that the API has not accepted yet."""


class KeyTemplate(Protocol):
    """A compiled `${...}` text."""

    @property
    def source(self) -> str:
        """The text as written."""

    @property
    def names(self) -> Iterable[str]:
        """The variables in it."""

    def render(self, variables: Variables, /) -> str:
        """The text with its names replaced by values."""

    def render_parts(self, variables: Variables, /) -> list[tuple[str, str]]:
        """The pieces of the rendered text as (text, name); name is "" for text of the file."""

    def names_by_piece(self) -> list[tuple[str, ...]]:
        """The names in each piece of `render_parts`."""

    def is_expression(self, index: int) -> bool:
        """Whether a piece is more than one name."""


@record
class Owner:
    """Who owns a quota.

    Attributes:
        written: CONNECTION, INTEGRATION, or a template.
    """

    written: str | KeyTemplate

    @property
    def is_shared(self) -> bool:
        """Whether several connections may be one owner."""
        return self.written != CONNECTION

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the template; empty for a word."""
        return () if isinstance(self.written, str) else tuple(self.written.names)

    @property
    def narrowness(self) -> int:
        """A higher number for an owner that fewer calls share."""
        if isinstance(self.written, str):
            return 2 if self.written == CONNECTION else 0
        return 1

    def scope(self, variables: Variables, host: str = "", counted: str = "") -> str:
        """The start of the keys of this owner's counters: a digest, because others may read a shared store.

        Args:
            variables: the template variables of the connection, including `integration` and `user_id`.
            host: the host that the user named, or "".
            counted: CONNECTION or TRIAL to count apart from other connections, NEWCOMER to count with those
                that are not accepted yet, whatever the blueprint says.
        """
        apart = counted if counted in {CONNECTION, TRIAL} else ""
        kind = apart or (self.written if isinstance(self.written, str) else "=")
        if kind in {CONNECTION, TRIAL}:
            value = str(variables["user_id"])
        elif isinstance(self.written, str):
            value = ""
        else:
            value = self.written.render(variables)
        return digest(str(variables["integration"]), kind, value, host, "" if apart else counted)


@lru_cache(maxsize=4096)
def digest(*parts: str) -> str:
    """The start of a key that shows none of its parts."""
    # Each part with its length, so that no two lists of parts become the same text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
