"""The values in `${...}`: how they become text, and the filters that change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from urllib.parse import quote

from nango_py.secret import Secret


class TemplateProblem(Exception):
    """A template, or a value for one, is wrong. The message never contains a value.

    Attributes:
        code: E301 to E320.
        offset: where the problem is in the text of the template; 0 if unknown.
    """

    def __init__(self, code: str, what: str, *, expected: str = "", hint: str = "", offset: int = 0) -> None:
        self.code = code
        self.what = what
        self.expected = expected
        self.help = hint
        self.offset = offset
        super().__init__("; ".join(part for part in (what, expected, hint) if part))


class Absent:
    """The value of a name whose variable has no value, and the problem if there is a particular one."""

    __slots__ = ("name", "problem")

    def __init__(self, name: str, problem: TemplateProblem | None = None) -> None:
        self.name = name
        self.problem = problem


def is_absent(value: object) -> bool:
    """Whether a value is missing or null."""
    return value is None or isinstance(value, Absent)


def is_true(value: object) -> bool:
    """Whether `or` and `if` take the value as true: it is neither missing, empty, zero nor false."""
    return not is_absent(value) and bool(value)


def to_text(value: object, name: str) -> str:
    """The value as rendered: text as it is, numbers and booleans as in JSON.

    Raises:
        TemplateProblem: the value is missing, a list or a mapping.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    problem = _not_text_problem(value, name)
    del value
    raise problem


def _not_text_problem(value: object, name: str) -> TemplateProblem:
    if is_absent(value):
        if isinstance(value, Absent) and value.problem is not None:
            return value.problem.with_traceback(None)
        name = value.name if isinstance(value, Absent) else name
        return TemplateProblem(
            "E314",
            f'the variable "{name}" has no value',
            hint=f'give one, or write ${{{name} | default("...")}}',
        )
    kind = "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list | tuple) else ""
    if kind:
        return TemplateProblem(
            "E314", f'"{name}" is {kind}, not a text', hint="use the filter tojson or join"
        )
    return TemplateProblem("E314", f'"{name}" is neither text nor a finite number')


def utf8(text: str, name: str) -> bytes:
    """The text in UTF-8; raises TemplateProblem for an unpaired surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    del text
    raise TemplateProblem("E314", f'"{name}" is not valid Unicode text')


def percent_encoded(text: str, name: str) -> str:
    """The text with everything but letters, digits and `-._~` percent-encoded (RFC 3986 2.3)."""
    return quote(utf8(text, name), safe="")


def _to_json_value(value: object) -> object:
    """The value in types that `json.dumps` accepts."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_value(item) for item in value]
    return value


def _tojson(value: object, name: str) -> str:
    import json

    if isinstance(value, Absent):
        return to_text(value, name)
    try:
        return json.dumps(_to_json_value(value), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        pass
    del value
    raise TemplateProblem("E314", f'"{name}" cannot be written as JSON')


def _join(value: object, name: str, separator: str = "") -> str:
    if isinstance(value, list | tuple):
        return separator.join([to_text(item, name) for item in value])
    if is_absent(value):
        return to_text(value, name)
    del value
    raise TemplateProblem("E314", f'"{name}" is not a list, so "join" does not work on it')


def _base64(value: object, name: str) -> str:
    import base64

    return base64.b64encode(utf8(to_text(value, name), name)).decode()


def _base64url(value: object, name: str) -> str:
    import base64

    return base64.urlsafe_b64encode(utf8(to_text(value, name), name)).decode().rstrip("=")


def _md5(value: object, name: str) -> str:
    import hashlib

    return hashlib.md5(utf8(to_text(value, name), name), usedforsecurity=False).hexdigest()


def _split(value: object, name: str, separator: str, number: str) -> str | Absent:
    parts = to_text(value, name).split(separator) if separator else []
    if -len(parts) <= int(number) < len(parts):
        return parts[int(number)]
    del value, parts
    return Absent(name, TemplateProblem("E314", f'"{name}" has no part {number} between "{separator}"'))


def _replace(value: object, name: str, old: str, new: str) -> str:
    return to_text(value, name).replace(old, new) if old else to_text(value, name)


def _public_key_sha256(value: object, name: str) -> str:
    """The fingerprint of a key in PEM format: base64 of the SHA-256 of its public key in DER (RFC 5280)."""
    import base64
    import hashlib

    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
    )

    data = utf8(to_text(value, name), name)
    try:
        public = (
            load_pem_public_key(data)
            if b"PUBLIC KEY" in data
            else load_pem_private_key(data, None).public_key()
        )
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()
    except (ValueError, TypeError):
        pass
    del value, data
    raise TemplateProblem("E314", f'"{name}" is not a key in PEM format without a passphrase')


def _sha256(value: object, name: str) -> str:
    import hashlib

    return hashlib.sha256(utf8(to_text(value, name), name)).hexdigest()


def _hmac(algorithm: str) -> Callable[..., str]:
    def signed(value: object, name: str, key: str) -> str:
        import hmac

        return hmac.new(utf8(key, name), utf8(to_text(value, name), name), algorithm).hexdigest()

    return signed


def _lower(value: object, name: str) -> str:
    return to_text(value, name).lower()


def _upper(value: object, name: str) -> str:
    return to_text(value, name).upper()


def _trim(value: object, name: str) -> str:
    return to_text(value, name).strip()


def _urlencode(value: object, name: str) -> str:
    return percent_encoded(to_text(value, name), name)


# By name: the function (value, name of the variable, arguments as text), fewest and most arguments.
# `default` is not here: it alone applies to missing values, and its argument may be any value.
FILTERS: Mapping[str, tuple[Callable[..., object], int, int]] = {
    "lower": (_lower, 0, 0),
    "upper": (_upper, 0, 0),
    "trim": (_trim, 0, 0),
    "urlencode": (_urlencode, 0, 0),
    "base64": (_base64, 0, 0),
    "base64url": (_base64url, 0, 0),
    "string": (to_text, 0, 0),
    "join": (_join, 0, 1),
    "tojson": (_tojson, 0, 0),
    "split": (_split, 2, 2),
    "replace": (_replace, 2, 2),
    "md5": (_md5, 0, 0),
    "sha256": (_sha256, 0, 0),
    "public_key_sha256": (_public_key_sha256, 0, 0),
    "hmac_sha1": (_hmac("sha1"), 1, 1),
    "hmac_sha256": (_hmac("sha256"), 1, 1),
}
FILTER_NAMES = ("default", *FILTERS)
