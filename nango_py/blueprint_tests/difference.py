"""What a test of a blueprint reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.errors import Position


@record
class Difference:
    """Something that is not as the blueprint says.

    Attributes:
        position: the place in the file that says it.
        test: the test that found it, such as `example 2` or `verification`.
        what: what is different, as a sentence.
    """

    position: Position
    test: str
    what: str

    def __str__(self) -> str:
        return f"{self.position}: {self.test}: {self.what}"
