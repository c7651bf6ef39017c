"""The requests for the pages of a list: the caller's call with what each page changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.config.pointers import place_of, read_request, with_body_value
from nango_py.config.request_match import value_at
from nango_py.engine.call_arguments import check_call
from nango_py.engine.plan import make_plan, move_to_url, without_params
from nango_py.engine.request_encoding import to_pairs
from nango_py.errors import InvalidRequest, printable
from nango_py.json_types import as_object
from nango_py.pagination.base import NextRequest, find_phrase, int_param, parameter_text, put_phrase
from nango_py.record import replaced

if TYPE_CHECKING:
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.call_arguments import Call
    from nango_py.engine.plan import Plan
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.pagination.base import Paginator, Params

BODILESS = frozenset({"GET", "HEAD"})


class SentPage:
    """The request for a page, as pointers read it; see `config.pointers.PointedRequest`."""

    def __init__(self, plan: Plan, body: JsonValue) -> None:
        self.plan = plan
        self.body = body
        self.segments: Mapping[str, str] = {}

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.plan.url

    @property
    def params(self) -> Mapping[str, str]:
        """The query parameters; of several with one name, the last."""
        return dict(self.plan.pairs)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name."""
        return {key: value for key, (_, value) in self.plan.headers.items()}


class PageRequests:
    """Makes the request for each page.

    What a page changes is JSON, so that it can be part of a state: parameters, headers and body values by
    name, and the URL, path and method.

    Args:
        call: the caller's request.
        paginator: says where its values go.
        page_size: the page size to request instead of the blueprint's.

    Attributes:
        first: what the first request has besides what the caller gives.

    Raises:
        InvalidRequest: an argument has the wrong type, the page size is not possible, or the body of the call
            has no place for the values.
    """

    def __init__(self, call: Call, paginator: Paginator, page_size: int | None) -> None:
        check_call(call)
        self._paginator = paginator
        self._call = replaced(call, stream=False)
        self._is_in_body = _belongs_in_body(call, paginator.params_in)
        self._made: tuple[JsonObject, Plan, JsonValue] | None = None
        # A number in a text goes before the page size, as in LIMIT clauses of query languages.
        start = paginator.with_number(paginator.start) if paginator.phrase else NextRequest()
        size = paginator.with_size(self._size(page_size))
        self.first: JsonObject = self._without_given(self._merge(self._merge({}, start), size))

    def _size(self, wanted: int | None) -> int:
        paginator = self._paginator
        if wanted is None:
            return paginator.default_size
        if not paginator.has_size:
            raise InvalidRequest("page_size needs pagination.size in the blueprint or the entry")
        if paginator.max_size and wanted > paginator.max_size:
            raise InvalidRequest(f"page_size must be at most {paginator.max_size}, as pagination.size says")
        return wanted

    def _merge(self, changes: JsonObject, target: NextRequest) -> JsonObject:
        merged: JsonObject = dict(changes)
        if target.params:
            place = "body" if self._is_in_body else "params"
            values = target.params if self._is_in_body else [(n, parameter_text(v)) for n, v in target.params]
            merged[place] = {**as_object(merged.get(place)), **dict(values)}
        for name, word, number in target.phrases:
            phrases = as_object(merged.get("phrases"))
            merged["phrases"] = {**phrases, name: {**as_object(phrases.get(name)), word: number}}
        for pointer, value in target.changes:
            place, name = place_of(pointer)
            key = "params" if place == "param" else place
            given = value if place == "body" else parameter_text(value)
            merged[key] = {**as_object(merged.get(key)), name: given}
        return merged

    def _without_given(self, changes: JsonObject) -> JsonObject:
        """The changes without what the caller gives: a page size of the caller stays."""
        call = self._call
        query = {name for name, _ in (*to_pairs(call.path.partition("?")[2]), *to_pairs(call.params))}
        headers = {str(name).lower() for name in call.headers or ()}
        body = self._body()
        kept: JsonObject = {}
        for place, values in changes.items():
            if place == "phrases":
                kept[place] = self._phrases_not_given(as_object(values))
                continue
            kept[place] = {
                name: value
                for name, value in as_object(values).items()
                if not (
                    (place == "params" and name in query)
                    or (place == "header" and name.lower() in headers)
                    or (place == "body" and value_at(body, name) is not None)
                )
            }
        return {place: values for place, values in kept.items() if values}

    def _phrases_not_given(self, phrases: JsonObject) -> JsonObject:
        return {
            name: {
                word: number
                for word, number in as_object(words).items()
                if find_phrase(_text_of(self._call, name), word) is None
            }
            for name, words in phrases.items()
        }

    def next_changes(self, changes: JsonObject, target: NextRequest, link: str) -> JsonObject:
        """What the request for the next page changes.

        Args:
            changes: those of the page before.
            target: the next page.
            link: the URL of the next page as `stored_link` gives it; "" if there is none.
        """
        method: JsonObject = {"method": target.method} if target.method else {}
        headers: JsonObject = {"header": changes["header"]} if "header" in changes else {}
        if link:
            return {**headers, **method, "url": link}
        if target.path:
            own = self._call.path.partition("?")[0]
            path = target.path.replace("{path}", own.strip("/"))
            return self._merge({**headers, **method, "path": path}, target)
        return {**self._merge(changes, target), **method}

    def call_with(self, changes: JsonObject) -> Call:
        """The call for a page, but for its URL."""
        call = self._call
        method, path = changes.get("method"), changes.get("path")
        if isinstance(method, str):
            call = replaced(call, method=method)
        if isinstance(path, str):
            call = replaced(call, path=path, params=None, json=None, data=None)
        if call.method.upper() in BODILESS and call.method.upper() != self._call.method.upper():
            call = replaced(call, json=None, data=None)
        call = _with_params(call, as_object(changes.get("params")))
        for name, words in as_object(changes.get("phrases")).items():
            text = _text_of(call, name)
            for word, number in as_object(words).items():
                text = put_phrase(text, word, number if isinstance(number, int) else 0)
            call = _with_params(call, {name: text})
        if headers := as_object(changes.get("header")):
            names = {name.lower() for name in headers}
            own = {
                name: value for name, value in (call.headers or {}).items() if str(name).lower() not in names
            }
            call = replaced(call, headers={**own, **headers})
        if body := as_object(changes.get("body")):
            call = self._with_body(call, body)
        return call

    def _with_body(self, call: Call, values: JsonObject) -> Call:
        if call.json is None and call.data:
            form = dict(to_pairs(call.data)) if isinstance(call.data, Mapping | list | tuple) else None
            if form is None:
                raise InvalidRequest("paging values go into the body: pass json or a form, not raw data")
            return replaced(
                call, data={**form, **{name: parameter_text(one) for name, one in values.items()}}
            )
        body = call.json if call.json is not None else {}
        problem = ""
        try:
            for name, value in values.items():
                body = with_body_value(body, name, value) if isinstance(body, Mapping) else None
        except TypeError as error:
            problem = f"json has no place for the paging value: {error}"
        if problem or body is None:
            raise InvalidRequest(problem or "json must be an object: paging values go into it")
        return replaced(call, json=body)

    def _body(self, call: Call | None = None) -> JsonValue:
        call = call or self._call
        body: object = call.json
        if body is None and call.data is None:
            return None
        if body is None and isinstance(call.data, Mapping | list | tuple):
            body = dict(to_pairs(call.data))
        return dict(body) if isinstance(body, Mapping) else None

    def plan(self, changes: JsonObject, settings: BoundRequestSettings) -> tuple[Plan, SentPage]:
        """The request for a page.

        Raises:
            InvalidRequest: its URL is on another host.
        """
        link = changes.get("url")
        if not isinstance(link, str):
            call = self.call_with(changes)
            plan = make_plan(call, settings)
            return plan, SentPage(plan, self._body(call))
        first, body = self._plan_before_link({**changes, "url": None}, settings)
        plan = move_to_url(first, _reach(first, settings.bases[first.base], link))
        return plan, SentPage(plan, body)

    def _plan_before_link(
        self, changes: JsonObject, settings: BoundRequestSettings
    ) -> tuple[Plan, JsonValue]:
        """The request with all changes but the URL, and its body. Made once if all links share it."""
        if self._made is not None and self._made[0] == changes and self._made[1].settings is settings:
            return self._made[1:]
        call = self.call_with(changes)
        plan, body = make_plan(call, settings), self._body(call)
        self._made = (changes, plan, body) if plan.body is None and not settings.varies else None
        return plan, body

    def size_of(self, page: SentPage) -> int:
        """The page size that a page was requested with; 0 if it is not known."""
        paginator = self._paginator
        if not paginator.has_size:
            return 0
        place, name = place_of(paginator.size) if paginator.size else ("param", paginator.limit_param)
        if "phrase" in paginator.size:
            return find_phrase(page.params.get(name, ""), paginator.size["phrase"]) or 0
        if place == "param":
            return int_param(self.params(page), name, paginator.default_size)
        found = read_request({place: name}, page)
        return found if isinstance(found, int) else paginator.default_size

    def params(self, page: SentPage) -> Params:
        """The parameters of a page, from where those of the kind are."""
        if self._is_in_body:
            return tuple((name, str(value)) for name, value in as_object(page.body).items())
        return page.plan.pairs

    def stored_link(self, page: SentPage, link: str) -> str:
        """The URL of the next page without credentials: relative to the base URL if it is below it.

        Raises:
            InvalidRequest: it is on another host.
        """
        plan, settings = page.plan, page.plan.settings
        base = settings.bases[plan.base]
        if self._paginator.relative_to and not urlsplit(link).netloc and not urlsplit(link).scheme:
            url = _reach(plan, base, base + link.lstrip("/"))
        else:
            url = _reach(plan, plan.url.partition("?")[0], link)
        head, mark, query = url.partition("#")[0].partition("?")
        url = head + mark + without_params(query, settings.protected_params)
        return url.removeprefix(base)


def _belongs_in_body(call: Call, place: str) -> bool:
    """Whether the parameters of a kind go into the JSON object of a call."""
    if place == "body" and call.json is None:
        return True
    return place != "query" and isinstance(call.json, dict)


def _text_of(call: Call, name: str) -> str:
    """The text of a parameter that holds numbers.

    Raises:
        InvalidRequest: the call has no such parameter.
    """
    pairs = (*to_pairs(call.path.partition("?")[2]), *to_pairs(call.params))
    text = dict(pairs).get(name)
    if text is None:
        raise InvalidRequest(f'params must have "{name}": the paging values go into its text')
    return text


def _with_params(call: Call, changed: JsonObject) -> Call:
    """The call with other values of some parameters."""
    if not changed:
        return call
    path, _, written = call.path.partition("?")
    pairs = to_pairs(call.params)
    query = to_pairs(written.partition("#")[0])
    if not changed.keys().isdisjoint(name for name, _ in query):
        call, pairs = replaced(call, path=path), (*query, *pairs)
    kept = tuple(pair for pair in pairs if pair[0] not in changed)
    return replaced(call, params=(*kept, *((name, str(value)) for name, value in changed.items())))


def _reach(plan: Plan, base: str, link: str) -> str:
    """The URL of a link. A link to the API itself by http becomes https.

    Raises:
        InvalidRequest: it leads out of the API.
    """
    url = plan.settings.reach(base, link)
    if url is None and link[:7].lower() == "http://" and base.startswith("https://"):
        url = plan.settings.reach(base, f"https://{link[7:]}")
    if url is not None:
        return url
    raise InvalidRequest(
        f"/{plan.masked_endpoint()}: the next page is on another host{_host_of(link)}; "
        "requests.allowed_hosts lists the hosts to follow links to",
        plan=plan,
    )


def _host_of(link: str) -> str:
    try:
        host = urlsplit(link).hostname
    except ValueError:
        return ""
    return f", {printable(host, 60)}" if host else ""
