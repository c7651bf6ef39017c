"""What a blueprint says of bodies: the format of `body=`, and fields that every body has."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from nango_py.config.idempotency import BODY
from nango_py.engine.request_encoding import FORM, encode_json, encode_pairs, to_pairs, to_param_text
from nango_py.errors import InvalidRequest
from nango_py.record import record, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.idempotency import Idempotency
    from nango_py.engine.call_arguments import Call
    from nango_py.engine.request_encoding import Pairs
    from nango_py.json_types import JsonValue
    from nango_py.transport.sendable import Body

JSON, PLAIN_FORM, BRACKETED_FORM = "json", "form", "bracketed_form"
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests get a body if the blueprint has fields for it."""


@record
class BodyField:
    """A field of every body.

    Attributes:
        path: its dotted path.
        is_fixed: whether it replaces what the caller gives: it holds a credential.
    """

    path: str
    value: JsonValue
    is_fixed: bool = False


@record
class Key:
    """The idempotency key of a request.

    Attributes:
        place: `header`, `param` or `body`.
        name: of the header or parameter, or the dotted path in the body.
        is_given: whether the caller chose it.
    """

    place: str
    name: str
    value: str
    is_given: bool


def key_for(call: Call, method: str, idempotency: Idempotency | None, *, is_repeatable: bool) -> Key | None:
    """The idempotency key of a call, so that the request may be sent twice; None if it has none.

    Args:
        call: with its body as `json` or `data`.
        method: in upper case.
        idempotency: what the blueprint says.
        is_repeatable: whether the method may be repeated without a key.

    Raises:
        InvalidRequest: the caller gives a key that the API does not take.
    """
    given, reason = call.idempotency_key, ""
    if idempotency is None:
        reason = "this API takes no idempotency key; set retries.idempotency in its blueprint"
    elif (method not in idempotency.methods) if idempotency.methods else is_repeatable:
        reason = f"this API takes no idempotency key with {method}"
    elif idempotency.place == BODY and not takes_fields(call):
        reason = "the idempotency key of this API goes into the body, which must be a mapping"
    if not reason and idempotency is not None:
        value = given or idempotency.new_key()
        return Key(idempotency.place, idempotency.name, value, is_given=bool(given))
    if given and not is_repeatable:
        raise InvalidRequest(reason)
    return None


def resolve_body(call: Call, body_format: str) -> Call:
    """The call with `body` as `json` or `data`, in the format of the API.

    Raises:
        InvalidRequest: more than one body was given, or a form cannot hold the value.
    """
    if call.body is None:
        return call
    if call.json is not None or call.data or call.files:
        raise InvalidRequest("give body=, json= or data=, not several")
    if body_format == JSON:
        return replaced(call, json=call.body, body=None)
    if not isinstance(call.body, Mapping):
        raise InvalidRequest(f"body= must be a mapping for a form, not {type(call.body).__name__}")
    return replaced(call, data=tuple(form_pairs(call.body, body_format)), body=None)


def form_pairs(value: Mapping[str, object], body_format: str) -> Iterator[tuple[str, str]]:
    """Names and values of a form. None is left out; true and false are written as in JSON.

    Raises:
        InvalidRequest: a mapping is inside of a plain form, or the value is nested too deeply.
    """
    try:
        for name, item in value.items():
            yield from _pairs_of(str(name), item, body_format)
    except RecursionError:
        pass
    else:
        return
    raise InvalidRequest("body= cannot be written as a form: it is nested too deeply")


def _pairs_of(name: str, value: object, body_format: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        if body_format != BRACKETED_FORM:
            raise InvalidRequest(f'the value of "{name}" is a mapping, which a form cannot hold')
        for key, item in value.items():
            yield from _pairs_of(f"{name}[{key}]", item, body_format)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            inner = f"{name}[{index}]" if body_format == BRACKETED_FORM else name
            yield from _pairs_of(inner, item, body_format)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    else:
        yield name, to_param_text(value)


def with_fields(call: Call, fields: Iterable[BodyField], body_format: str) -> Call:
    """The call with the blueprint's fields in its JSON object or form; other bodies are left as they are."""
    fields = tuple(fields)
    if not fields or not takes_fields(call):
        return call
    has_form = bool(call.data or call.files)
    if isinstance(call.json, Mapping) or (body_format == JSON and not has_form):
        return replaced(call, json=_merge(call.json if isinstance(call.json, Mapping) else {}, fields))
    return replaced(call, data=_merge_pairs(to_pairs(call.data), fields, body_format))


def takes_fields(call: Call) -> bool:
    """Whether fields can be added to the body of a call."""
    if call.json is not None:
        return isinstance(call.json, Mapping)
    if call.data:
        return isinstance(call.data, Mapping | list | tuple)
    return bool(call.files) or call.method.upper() in WITH_BODY


def _merge(content: Mapping[str, object], fields: Iterable[BodyField]) -> dict[str, object]:
    merged = dict(content)
    for field in fields:
        _put(merged, field.path.split("."), field)
    return merged


def _put(holder: dict[str, object], keys: list[str], field: BodyField) -> None:
    key, below = keys[0], keys[1:]
    if not below:
        if field.is_fixed or key not in holder:
            holder[key] = field.value
        return
    inner = holder.get(key)
    if isinstance(inner, Mapping) or inner is None or field.is_fixed:
        copy = dict(inner) if isinstance(inner, Mapping) else {}
        _put(copy, below, field)
        holder[key] = copy


def _merge_pairs(pairs: Pairs, fields: Iterable[BodyField], body_format: str) -> Pairs:
    given = {name for name, _ in pairs}
    for field in fields:
        name = form_name(field.path, body_format)
        if field.is_fixed:
            pairs = tuple(pair for pair in pairs if pair[0] != name)
        elif name in given:
            continue
        pairs = (*pairs, *_pairs_of(name, field.value, PLAIN_FORM))
    return pairs


def form_name(path: str, body_format: str) -> str:
    """The name of a field in a form: `a.b` is `a[b]` if the API writes nested values so."""
    first, *rest = path.split(".") if body_format == BRACKETED_FORM else (path,)
    return first + "".join(f"[{key}]" for key in rest)


def with_values(body: Body, content_type: str, fields: Iterable[BodyField], body_format: str) -> Body:
    """An encoded body with other values of the fields that it has; a body of another kind as it is."""
    if not isinstance(body, bytes):
        return body
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        values = {form_name(field.path, body_format): field.value for field in fields}
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        return encode_pairs(
            tuple((name, to_param_text(values[name]) if name in values else value) for name, value in pairs)
        ).encode()
    try:
        content = jsonlib.loads(body)
    except ValueError:
        return body
    return encode_json(_merge(content, fields)) if isinstance(content, Mapping) else body
