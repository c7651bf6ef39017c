"""What a schema cannot say: settings that are each right and together dangerous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.schema.field_patterns import matches_pattern, pattern_fault
from nango_py.config.urls.hosts import is_network
from nango_py.errors import Problem, nearest, printable
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.schema.wording import Place
    from nango_py.config.yaml.document import Document

# Readers of YAML 1.1, most editors among them, take these for true and false.
_BOOLEANS_ELSEWHERE = {"y": "true", "yes": "true", "on": "true", "n": "false", "no": "false", "off": "false"}


_NOT_FOR_BLUEPRINTS = {"allowed_networks": "open networks", "proxy_url": "name a proxy"}


def lint_settings(settings: Mapping[str, Any], place: Place | Document) -> list[Problem]:
    """What a schema cannot say of settings.

    Rate limit headers that say nothing of the wait (E402), rules that send a POST twice (E403), days of
    no time zone that is known, or of some other length, and networks that are none (E204), words on fields
    that the auth mode does not have (E202), and patterns that cannot be used (E319).
    """
    return [
        *_unknown_wait(settings, place), *_duplicate_posts(settings, place), *_days(settings, place),
        *_networks(settings, place), *_fields(settings, place),
    ]  # fmt: skip


def lint_blueprint(document: Document) -> list[Problem]:
    """What only integrations.yaml may say (E320)."""
    data = document.data
    found = []
    for path in ((), *(("versions", version) for version in _mapping(data, "versions"))):
        body = _mapping(_mapping(data, "versions"), path[1]) if path else data
        for key, what in _NOT_FOR_BLUEPRINTS.items():
            if key in _mapping(body, "requests"):
                where = document.key_position((*path, "requests", key))
                help_ = f"set requests.{key} in integrations.yaml"
                found.append(Problem(where, "E320", f"a blueprint may not {what}", "", help_))
    return found


def lint_names(document: Document) -> list[Problem]:
    """Integration names that other readers of the same file take for true or false (E207)."""
    found = []
    for name in _mapping(document.data, "integrations"):
        meaning = _BOOLEANS_ELSEWHERE.get(name.lower())
        if meaning and document.has_plain_key(("integrations", name)):
            where = document.key_position(("integrations", name))
            what = f'many YAML readers take "{name}" for {meaning}'
            found.append(Problem(where, "E207", what, "", f'quote it: "{name}"'))
    return found


def _unknown_wait(settings: Mapping[str, Any], place: Place | Document) -> Iterator[Problem]:
    headers = _mapping(_mapping(settings, "rate_limits"), "headers")
    if headers.get("remaining") is not None and not (headers.get("reset") or headers.get("retry_after")):
        where = place.key_position(("rate_limits", "headers", "remaining"))
        help_ = "add reset or retry_after; otherwise the wait is unknown"
        yield Problem(where, "E402", '"remaining" alone does not say when calls are allowed again', "", help_)


def _duplicate_posts(settings: Mapping[str, Any], place: Place | Document) -> Iterator[Problem]:
    retries = _mapping(settings, "retries")
    if retries.get("idempotency_header") or retries.get("allow_duplicate_posts") is True:
        return
    rules = retries.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
        methods = _mapping(rule, "when").get("method")
        named = methods if isinstance(methods, list | tuple) else (methods,)
        repeated = [method for method in ("POST", "PATCH") if method in named]
        if repeated and rule.get("do") == "retry" and rule.get("allow_duplicate_posts") is not True:
            where = place.key_position(("retries", "rules", index, "when", "method"))
            help_ = "add idempotency_header or allow_duplicate_posts: true"
            yield Problem(where, "E403", f"{repeated[0]} could run twice", "", help_)


def _fields(settings: Mapping[str, Any], place: Place | Document) -> Iterator[Problem]:
    credentials = _mapping(settings, "credentials")
    mode = _mapping(settings, "auth").get("auth_mode")
    known = credentials
    if isinstance(mode, str) and mode in AUTH_MODES.names():
        known = AUTH_MODES.get(str.__str__(mode)).credentials_schema["properties"]
    for name in credentials:
        if name not in known and not name.startswith("x-"):
            near = nearest(name, known)
            help_ = f'did you mean "{near}"?' if near else f"it has: {', '.join(known) or 'none'}"
            what = f'{mode} has no credential "{printable(name)}"'
            yield Problem(place.key_position(("credentials", name)), "E202", what, "", help_)
    values = _mapping(_mapping(settings, "connection_config"), "properties")
    for path, fields in ((("credentials",), credentials), (("connection_config", "properties"), values)):
        for name in fields:
            yield from _pattern(_mapping(fields, name), place, (*path, name))


def _pattern(
    field: Mapping[str, Any], place: Place | Document, path: tuple[str | int, ...]
) -> Iterator[Problem]:
    pattern, example = field.get("pattern"), field.get("example")
    if not isinstance(pattern, str):
        return
    fault = pattern_fault(pattern)
    if fault:
        yield Problem(place.position((*path, "pattern")), "E319", f"the pattern {fault}")
    elif isinstance(example, str) and not matches_pattern(pattern, example):
        yield Problem(place.position((*path, "example")), "E319", "the example does not fit the pattern")


def _days(settings: Mapping[str, Any], place: Place | Document) -> Iterator[Problem]:
    for path, window in _windows(_mapping(settings, "rate_limits").get("budgets")):
        if isinstance(window, Mapping) and window.get("per") == "day":
            if "per_seconds" in window:
                where = place.key_position((*path, "per_seconds"))
                yield Problem(
                    where, "E204", "a calendar day has no per_seconds", "", "remove per or per_seconds"
                )
            zone = window.get("time_zone")
            if isinstance(zone, str) and not _is_time_zone(zone):
                what = f'unknown time zone "{printable(zone, 64)}"'
                where = place.position((*path, "time_zone"))
                yield Problem(where, "E204", what, "expected UTC or an IANA name such as America/New_York")


def _networks(settings: Mapping[str, Any], place: Place | Document) -> Iterator[Problem]:
    for index, network in _listed(_mapping(settings, "requests").get("allowed_networks")):
        if isinstance(network, str) and not is_network(str.__str__(network)):
            where = place.position(("requests", "allowed_networks", index))
            what = f'"{printable(network, 64)}" is no network'
            yield Problem(
                where, "E204", what, "expected zeros behind its prefix, as in 10.0.0.0/8 or fd00::/8"
            )


def _windows(budgets: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every window of every budget, with its place."""
    for index, budget in _listed(budgets):
        lists = [(("otherwise",), budget.get("otherwise") if isinstance(budget, Mapping) else None)]
        cases = budget.get("cases") if isinstance(budget, Mapping) else None
        lists += [
            (("cases", number, "windows"), case.get("windows"))  # type: ignore[misc]
            for number, case in _listed(cases)
            if isinstance(case, Mapping)
        ]
        for path, windows in lists:
            for number, window in _listed(windows):
                yield ("rate_limits", "budgets", index, *path, number), window


def _listed(value: Any) -> Iterator[tuple[int, Any]]:
    yield from enumerate(value if isinstance(value, list | tuple) else ())


def _is_time_zone(name: str) -> bool:
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
