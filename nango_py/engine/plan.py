"""One HTTP request, rendered and printable with its secrets masked, and how it changes between attempts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote_plus, unquote_plus, urlsplit

from nango_py.config.endpoints import DEFAULT
from nango_py.config.idempotency import BODY, HEADER, PARAM
from nango_py.config.request_match import RequestFacts
from nango_py.config.template.headers import check_header_name, check_header_value
from nango_py.config.urls.paths import join_path
from nango_py.engine.call_arguments import check_call, content_of, run_check
from nango_py.engine.request_body import BodyField, key_for, resolve_body, with_fields, with_values
from nango_py.engine.request_encoding import (
    Pairs,
    encode_body,
    encode_pairs,
    pairs_by_name,
    requote,
    to_pairs,
    to_param_text,
)
from nango_py.errors import InvalidRequest, unknown_name
from nango_py.protocols.signed_request import SignedRequest
from nango_py.record import record, replaced
from nango_py.secret import MASK, mask_rare, mask_secrets, strip_all, without_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.endpoints import EndpointSettings
    from nango_py.config.model import RequestSettings
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.call_arguments import Call, Timeout
    from nango_py.engine.request_body import Key
    from nango_py.transport.sendable import Body

    Headers = dict[str, tuple[str, str]]
    """By lower-case name: (name as written, value)."""

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""The idempotent methods of RFC 9110 section 9.2.2."""

KNOWN_METHODS = REPEATABLE | {"POST", "PATCH"}
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]+")
LONGEST_SHOWN_BODY = 2000
SEE_OTHER = 303
MOVED = frozenset({301, 302})


DOWNLOAD_HEADERS = frozenset({"accept", "accept-encoding", "if-range", "range", "user-agent"})
"""The headers that a host of `download_hosts` gets."""


@record
class Plan:
    """One request, ready to be sent.

    `str(plan)` is what `nango plan` prints. url, headers and body hold credentials: never log them.

    Attributes:
        headers: by lower-case name: (name as written, value).
        endpoint: the path below the base without its query, for budgets and logs.
        pairs: the caller's query parameters before encoding.
        settings: the request settings of the connection.
        connect_seconds, read_seconds: timeouts for connecting, and for the next bytes.
        total_seconds: timeout for one attempt.
        max_bytes: maximum size of the decoded body; 0 for no limit.
        replayable: whether the body can be sent a second time.
        safe_to_repeat: whether sending the request twice has the effect of sending it once.
        content: the JSON value or the form of the call, before encoding.
        base: the name of the base of `requests.bases`; "" for base_url.
        own: what the blueprint says of the endpoint.
        is_download: whether it goes to one of `download_hosts` or `upload_hosts`, without credentials.
        is_upload: whether its URL is one for the pieces of an upload, which is a credential.
        hidden: lower-case names of headers that hold a signature or the answer to a challenge.
    """

    method: str
    url: str
    headers: Headers
    body: Body
    endpoint: str
    pairs: Pairs
    settings: BoundRequestSettings
    connect_seconds: float
    read_seconds: float
    total_seconds: float
    max_bytes: int
    replayable: bool
    safe_to_repeat: bool
    stream: bool
    content: object = None
    base: str = ""
    own: EndpointSettings = DEFAULT
    is_download: bool = False
    is_upload: bool = False
    hidden: frozenset[str] = frozenset()

    @property
    def is_counted(self) -> bool:
        """Whether it counts as a call of the API; files on other hosts and pieces of uploads do not."""
        return not (self.is_download or self.is_upload)

    def facts(self) -> RequestFacts:
        """What a `match` looks at."""
        pairs = pairs_by_name(self.pairs)
        return RequestFacts(self.method, self.endpoint, pairs, self.content, self.settings.config)

    def masked_url(self) -> str:
        """The URL with every credential shown as `***`."""
        base, settings = self.settings.bases[self.base], self.settings
        head, _, query = self.url.partition("?")
        if self.is_upload:
            return f"{'/'.join(head.split('/')[:3])}/{MASK}"
        if self.is_download:  # its query is a signature
            return mask_secrets(head + (f"?{MASK}" if query else ""), settings.secrets)
        if head.startswith(base):
            head = settings.masked_base(self.base) + head[len(base) :]
        shown = [
            f"{part.partition('=')[0]}={MASK}" if _is_named(part, settings.protected_params) else part
            for part in query.split("&")
        ]
        return mask_secrets(head + (f"?{'&'.join(shown)}" if query else ""), settings.secrets)

    def masked_endpoint(self) -> str:
        """The endpoint with every credential shown as `***`: verification paths and links may hold one."""
        return mask_rare(self.endpoint, self.settings.secrets)

    def masked_headers(self) -> dict[str, str]:
        """The headers with every credential shown as `***`."""
        settings = self.settings
        shown = {}
        for key, (name, value) in self.headers.items():
            if key in self.hidden:
                shown[name] = MASK
            elif key in settings.protected_headers:
                shown[name] = settings.masked_header(name, self.own)
            else:
                shown[name] = mask_secrets(value, settings.secrets)
        return shown

    def __str__(self) -> str:
        lines = [f"{self.method} {self.masked_url()}"]
        lines += [f"{name}: {value}" for name, value in self.masked_headers().items()]
        if isinstance(self.body, bytes):
            lines += ["", self._shown_body(self.body)]
        elif self.body is not None:
            lines += ["", f"<{type(self.body).__name__}, streamed>"]
        return "\n".join(lines)

    def _shown_body(self, body: bytes) -> str:
        """The beginning of the body, masked before it is cut, so that no part of a secret is left."""
        read = self._masked_body(body)[: 10 * LONGEST_SHOWN_BODY]
        return mask_secrets(read, self.settings.secrets)[:LONGEST_SHOWN_BODY]

    def _masked_body(self, body: bytes) -> str:
        hidden = [BodyField(path, MASK, is_fixed=True) for path in self.settings.protected_body]
        shown = self._with_values(hidden) if hidden else body
        text = (shown if isinstance(shown, bytes) else body).decode("utf-8", "replace")
        return text.replace(quote_plus(MASK), MASK)

    def _with_values(self, fields: Iterable[BodyField]) -> Body:
        body_format = self.own.body_format or self.settings.integration.requests.body_format
        _, content_type = self.headers.get("content-type", ("", ""))
        return with_values(self.body, content_type, fields, body_format)

    def with_body_of(self, settings: BoundRequestSettings) -> Body:
        """The body with the credentials of newer settings of the same connection."""
        variables = settings.variables_for(self.method, self.endpoint)
        fields = [field for field in settings.body_for(variables) if field.is_fixed]
        return self._with_values(fields) if fields else self.body

    def __repr__(self) -> str:
        return f"<Plan {self.method} {self.masked_url()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Plan holds credentials and cannot be pickled")


@without_frames
def make_plan(call: Call, settings: BoundRequestSettings) -> Plan:
    """The request for a call of one connection. Nothing is sent, and the arguments are not changed.

    Raises:
        InvalidRequest: the path leaves the API's base URL, or the method, a header or the body is invalid.
    """
    check_call(call)
    method, requests = call.method.upper(), settings.integration.requests
    if method not in KNOWN_METHODS and not TOKEN.fullmatch(method):
        raise InvalidRequest("invalid HTTP method: not a token (RFC 9110 section 5.6.2)")
    path, _, written = call.path.partition("?")
    base = _base_name(call, settings)
    endpoint = run_check(join_path, settings.bases[base], path)[len(settings.bases[base]) :]
    written, pairs = _split_query(written.partition("#")[0], call.params, settings.protected_params)
    given = (*to_pairs(written), *pairs) if written else pairs
    content, own = content_of(call), DEFAULT
    if requests.endpoints:
        facts = RequestFacts(method, endpoint, pairs_by_name(given), content, settings.config)
        own = requests.endpoints.settings_for(facts)
        base = base or own.base
    variables, body_format = settings.variables_for(method, endpoint), own.body_format or requests.body_format
    call = resolve_body(call, body_format)
    key = key_for(call, method, own.idempotency or requests.idempotency, is_repeatable=method in REPEATABLE)
    url, own_pairs = settings.bases[base] + endpoint, settings.pairs_for(variables, own)
    if key is not None and key.place == PARAM:
        own_pairs = (*own_pairs, (key.name, key.value))
    if own_pairs and given:
        own_pairs = _without_given(own_pairs, given, settings.protected_params)
    if own_pairs or written or pairs:
        url = f"{url}?{_query_of(own_pairs, written, pairs)}"
    headers = settings.headers_for(variables, own)
    fields = settings.body_for(variables)
    if key is not None and key.place == BODY:
        fields = (*fields, BodyField(key.name, key.value, is_fixed=key.is_given))
    call = with_fields(call, fields, body_format)
    body, content_type, replayable = encode_body(call.json, call.data, call.files)
    if content_type:
        headers.setdefault("content-type", ("Content-Type", content_type))
    if call.headers:
        _merge_headers(headers, call.headers, settings, content_type)
    if key is not None and key.place == HEADER:
        _add_key_header(headers, key)
    is_repeatable = method in REPEATABLE or key is not None or own.safe is True
    connect, read = _timeouts(call.timeout, requests, own)
    max_bytes = requests.max_response_bytes if call.max_response_bytes is None else call.max_response_bytes
    return Plan(
        method, url, headers, body, endpoint, given, settings, connect, read,
        requests.total_seconds if call.timeout is None else max(requests.total_seconds, read),
        max_bytes, replayable, is_repeatable, call.stream, content, base, own,
    )  # fmt: skip


def _base_name(call: Call, settings: BoundRequestSettings) -> str:
    """The base that the call names, or that its path begins with if it is a whole URL."""
    if call.base:
        if call.base not in settings.bases:
            raise InvalidRequest(unknown_name("base", call.base, [name for name in settings.bases if name]))
        return call.base
    return settings.base_of(call.path) if len(settings.bases) > 1 and "://" in call.path else ""


def _split_query(written: str, params: object, protected: frozenset[str]) -> tuple[str, Pairs]:
    """The part of the caller's query that is sent as it is written, and the pairs to be encoded."""
    pairs: Pairs = ()
    if isinstance(params, str | bytes):
        text = to_param_text(params)
        written = _join_query(written, text.lstrip("?"))
    elif params:
        pairs = to_pairs(params)
        if protected:
            pairs = tuple(pair for pair in pairs if pair[0].lower() not in protected)
    return without_params(written, protected) if written else "", pairs


def _query_of(own: Pairs, written: str, pairs: Pairs) -> str:
    if not own and not written:
        return encode_pairs(pairs)
    return _join_query(encode_pairs(own), written, encode_pairs(pairs))


def _join_query(*parts: str) -> str:
    return "&".join([part for part in parts if part])


def without_params(query: str, names: frozenset[str]) -> str:
    """A query as it is written, with unsafe characters quoted, without the parameters of these names."""
    if names:
        query = "&".join([part for part in query.split("&") if not _is_named(part, names)])
    return requote(query)


def _is_named(part: str, names: frozenset[str]) -> bool:
    return unquote_plus(part.partition("=")[0]).lower() in names


def _without_given(pairs: Pairs, given: Pairs, protected: frozenset[str]) -> Pairs:
    """The blueprint's parameters; the caller may replace those without a credential."""
    names = {name for name, _ in given}
    return tuple(pair for pair in pairs if pair[0].lower() in protected or pair[0] not in names)


def _merge_headers(
    headers: Headers,
    given: Mapping[str, str | None],
    settings: BoundRequestSettings,
    content_type: str,
) -> None:
    """Put the caller's headers over the blueprint's; None removes one; those with a credential stay."""
    for given_name, value in given.items():
        name = header_text(given_name)
        key = name.lower()
        if key in settings.protected_headers:
            continue
        if value is None:
            headers.pop(key, None)
            continue
        text = header_text(value)
        run_check(check_header_name, name)
        run_check(check_header_value, text, name)
        if key == "content-type" and content_type.startswith("multipart/"):
            continue  # only the encoder knows the boundary
        headers[key] = (name, text)


def header_text(value: object) -> str:
    """The name or value of a header as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _add_key_header(headers: Headers, key: Key) -> None:
    """Add the idempotency key, unless the caller gave the header instead of a key."""
    if key.is_given:
        run_check(check_header_value, key.value, key.name)
        headers[key.name.lower()] = (key.name, key.value)
    else:
        headers.setdefault(key.name.lower(), (key.name, key.value))


def _timeouts(timeout: Timeout, requests: RequestSettings, own: EndpointSettings) -> tuple[float, float]:
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    total = requests.total_seconds
    if connect is None:
        connect = requests.connect_seconds if own.connect_seconds is None else min(own.connect_seconds, total)
    if read is None:
        read = requests.read_seconds if own.read_seconds is None else min(own.read_seconds, total)
    return float(connect), float(read)


def follow_redirect(plan: Plan, location: str, status: int) -> Plan | None:
    """The plan that follows a redirect, or None if it must not be followed.

    Only the connection's own origins are followed, so that neither credentials nor a body reach another
    (RFC 9110 section 15.4; RFC 9700 section 4.12), and `download_hosts`, without both.
    """
    url = plan.settings.reach(plan.url, location)
    if url is None:
        return _follow_to_download(plan, location, status)
    method, body, headers = plan.method, plan.body, plan.headers
    if (status == SEE_OTHER and method != "HEAD") or (status in MOVED and method == "POST"):
        method, body = "GET", None
        headers = {
            key: value for key, value in headers.items() if key not in {"content-type", "content-length"}
        }
    elif body is not None and not plan.replayable:
        return None
    return move_to_url(replaced(plan, method=method, body=body, headers=headers), url)


def _follow_to_download(plan: Plan, location: str, status: int) -> Plan | None:
    """The request for a file on one of `download_hosts`; None if it is elsewhere, or not to be read only."""
    url = plan.settings.reach_download(plan.url, location)
    becomes_get = status == SEE_OTHER or (status in MOVED and plan.method == "POST")
    method = plan.method if plan.method == "HEAD" or not becomes_get else "GET"
    if url is None or method not in {"GET", "HEAD"} or (plan.body is not None and not becomes_get):
        return None
    settings, protected = plan.settings.without_credentials(), plan.settings.protected_headers
    headers = {
        key: header
        for key, header in plan.headers.items()
        if key in DOWNLOAD_HEADERS and key not in protected
    }
    return replaced(
        plan, method=method, url=requote(url), headers=headers, body=None, settings=settings, replayable=True,
        safe_to_repeat=True, is_download=True,
    )  # fmt: skip


def move_to_url(plan: Plan, url: str) -> Plan:
    """The same request for another URL of the same origins; the blueprint's credentials are kept."""
    settings = plan.settings
    head, _, query = url.partition("#")[0].partition("?")
    encoded = query = without_params(query, settings.protected_params)
    if settings.protected_params:
        pairs = settings.pairs_for(settings.variables_for(plan.method, plan.endpoint), plan.own)
        own = tuple(pair for pair in pairs if pair[0].lower() in settings.protected_params)
        encoded = _join_query(encode_pairs(own), query)
    head = requote(head)
    if head.count("/") == 2:  # noqa: PLR2004 - a redirect may leave out the slash of the root
        head += "/"
    base = plan.base if head.startswith(settings.bases[plan.base]) else settings.base_of(head)
    return replaced(
        plan,
        url=f"{head}?{encoded}" if encoded else head,
        endpoint=_endpoint_of(head, settings.bases[base]),
        pairs=to_pairs(query),
        base=base,
    )


def _endpoint_of(url: str, base: str) -> str:
    """The path of a URL below the base URL; another host of the same API has the same paths."""
    if url.startswith(base):
        return url[len(base) :]
    return urlsplit(url).path.removeprefix(urlsplit(base).path).lstrip("/")


def with_credentials_of(plan: Plan, settings: BoundRequestSettings) -> Plan:
    """The same request with the credentials of newer settings of the same connection.

    Everything that may hold a credential is rendered again: headers, query and base URL. What the caller gave
    is kept, above all the idempotency key.
    """
    old = plan.settings
    variables = settings.variables_for(plan.method, plan.endpoint)
    rendered = settings.headers_for(variables, plan.own)
    headers = {key: value for key, value in plan.headers.items() if key not in old.protected_headers}
    headers.update({key: rendered[key] for key in settings.protected_headers if key in rendered})
    url = plan.url
    if url.startswith(old.bases[plan.base]):
        url = settings.bases[plan.base] + url[len(old.bases[plan.base]) :]
    body = plan.with_body_of(settings)
    return move_to_url(replaced(plan, settings=settings, headers=headers, body=body), url)


def sign(plan: Plan, now: float) -> Plan:
    """The request with its signature if the auth mode signs; done for each attempt, so that nonces differ."""
    settings = plan.settings
    if settings.signer is None:
        return plan
    plan = replaced(plan, url=settings.signer.url_to_sign(plan.url))
    request, variables = _signed_parts(plan), settings.variables()
    try:
        added = settings.signer.sign(request, variables, settings.auth_settings, now)
    except BaseException as error:  # noqa: BLE001 - raised again, without the frames of a mode of others
        failure = strip_all(error)
    else:
        return _with_headers(plan, added)
    del request, variables
    raise failure


def answer_challenge(plan: Plan, headers: Mapping[str, str]) -> Plan | None:
    """The request that answers a 401's challenge, or None if the auth mode cannot."""
    settings = plan.settings
    if not settings.mode.answers_challenges:
        return None
    added = settings.mode.answer_challenge(headers, _signed_parts(plan), settings.variables())
    return None if added is None else _with_headers(plan, added)


def _with_headers(plan: Plan, added: Mapping[str, str]) -> Plan:
    headers = {**plan.headers, **{name.lower(): (name, value) for name, value in added.items()}}
    return replaced(plan, headers=headers, hidden=plan.hidden | {name.lower() for name in added})


def _signed_parts(plan: Plan) -> SignedRequest:
    """The request as signatures see it; a streamed body is None."""
    body = b"" if plan.body is None else plan.body if isinstance(plan.body, bytes) else None
    return SignedRequest(plan.method, plan.url, dict(plan.headers.values()), body)
