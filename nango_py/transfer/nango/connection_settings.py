"""What today's Nango keeps beside credentials, as `additional_config`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.transfer.nango.credential_fields import OTHER_APP, fold_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOT_DECLARED = "the integration's connection_config does not declare it"
SECRET_SETTING = "it looks like a secret, and additional_config is shown"  # noqa: S105 - a sentence
TWICE = "another field has its name here"

_SECRET = re.compile(
    r"token|secret|passw|passphrase|credential|private_?key|api_?key|jwt|assertion|cookie|session",
    re.IGNORECASE,
)
_OTHER_APP = {"oauthclientidoverride", "oauthclientsecretoverride"}


class Declared(NamedTuple):
    """What an integration's connection_config says of names.

    Attributes:
        fields: the fields that it declares.
        is_closed: whether it allows no others.
        renames: the names here of some names there.
    """

    fields: Mapping[str, Any]
    is_closed: bool
    renames: Mapping[str, str]

    @classmethod
    def of(cls, schema: Mapping[str, Any] | None, renames: Mapping[str, str]) -> Declared:
        """Those of a blueprint's schema; without one every name is allowed."""
        schema = schema or {}
        return cls(schema.get("properties", {}), schema.get("additionalProperties") is False, renames)

    def word(self, name: str) -> str:
        """The name here: the one that was chosen, the one that is declared however it is spelt, or itself."""
        if name in self.renames:
            return self.renames[name]
        if name in self.fields:
            return name
        return next((word for word in self.fields if fold_name(word) == fold_name(name)), name)

    def refusal(self, name: str, value: Any) -> str:
        """Why a value cannot be taken over, or ""."""
        word = self.word(name)
        if word in self.fields or name in self.renames:
            return ""
        if fold_name(name) in _OTHER_APP:
            return OTHER_APP
        if _is_secret(name, value):
            return SECRET_SETTING
        return NOT_DECLARED if self.is_closed else ""


def settings_of(
    config: Mapping[str, Any],
    rest: dict[str, Any],
    metadata: Any,
    declared: Declared,
    left: Callable[[str, str], None],
) -> dict[str, Any]:
    """The additional_config of a connection.

    Args:
        config: its `connection_config`.
        rest: credentials without a place; what is declared as a setting is taken out of them.
        metadata: its `metadata`.
        declared: what the integration declares.
        left: told what is left out, and why.
    """
    found: dict[str, Any] = {}
    # Exact spellings first, so that another spelling of the same field does not win.
    for name, value in sorted(config.items(), key=lambda item: item[0] != declared.word(item[0])):
        word = declared.word(name)
        why = declared.refusal(name, value) or (TWICE if word in found else "")
        if value is None:
            continue
        if why:
            left(f"connection_config.{name}", why)
        else:
            found[word] = _fit(value, declared.fields.get(word, {}))
    for name in tuple(rest):
        word = declared.word(name)
        if word in declared.fields and word not in found:
            found[word] = _fit(rest.pop(name), declared.fields[word])
    if metadata and (declared.is_closed or "metadata" in found):
        left("metadata", NOT_DECLARED if declared.is_closed else TWICE)
    elif metadata:
        found["metadata"] = metadata
    return found


def _fit(value: Any, field: Mapping[str, Any]) -> Any:
    """A number as the text that is declared for it; anything else as it is."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and field.get("type") == "string" else value


def _is_secret(name: str, value: Any) -> bool:
    if _SECRET.search(name):
        return True
    if isinstance(value, list):
        return any(_is_secret("", below) for below in value)
    return isinstance(value, dict) and any(_is_secret(key, below) for key, below in value.items())
