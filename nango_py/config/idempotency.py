"""`idempotency`: where the key of a request goes that the API carries out only once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from nango_py.config.values import MAPPINGS, as_tuple
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.json_types import Settings

HEADER, PARAM, BODY = "header", "param", "body"
HEX = "hex"


@record
class Idempotency:
    """The place and form of idempotency keys.

    Attributes:
        place: `header`, `param` or `body`.
        name: of the header or parameter, or the dotted path in the body.
        methods: the methods whose requests get a key, in upper case; empty for those that may not be repeated
            otherwise.
        form: `uuid` or `hex`.
    """

    place: str
    name: str
    methods: frozenset[str] = frozenset()
    form: str = "uuid"

    def new_key(self) -> str:
        """A key that no request had before."""
        key = uuid4()
        return key.hex if self.form == HEX else str(key)


def idempotency_of(settings: Settings | None) -> Idempotency | None:
    """The keys of a `retries` block, or of an entry of `endpoints`; None if it has none."""
    settings = settings or {}
    header = settings.get("idempotency_header")
    if header:
        return Idempotency(HEADER, str.__str__(header))
    block = settings.get("idempotency")
    if not isinstance(block, MAPPINGS):
        return None
    place = next((place for place in (HEADER, PARAM, BODY) if block.get(place)), "")
    if not place:
        return None
    methods = frozenset(map(str.__str__, as_tuple(block.get("methods"))))
    return Idempotency(place, str.__str__(block[place]), methods, str(block.get("form", "uuid")))
