"""Plans changed for the next attempt: a newer token, a signature, the answer to a challenge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.engine.plan import move_to_url
from nango_py.protocols.signed_request import SignedRequest
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.plan import Plan


def with_credentials_of(plan: Plan, settings: BoundRequestSettings) -> Plan:
    """The same request with the credentials of newer settings of the same connection.

    Everything that may hold a credential is rendered again: headers, query and base URL. What the caller gave
    is kept, above all the idempotency key.
    """
    old = plan.settings
    rendered = settings.headers_for(plan.method, plan.endpoint)
    headers = {key: value for key, value in plan.headers.items() if key not in old.protected_headers}
    headers.update({key: rendered[key] for key in settings.protected_headers if key in rendered})
    url = plan.url
    if url.startswith(old.base_url):
        url = settings.base_url + url[len(old.base_url) :]
    return move_to_url(replaced(plan, settings=settings, headers=headers), url)


def sign(plan: Plan, now: float) -> Plan:
    """The request with its signature if the auth mode signs; done for each attempt, so that nonces differ."""
    settings = plan.settings
    if settings.signer is None:
        return plan
    request, variables = _signed_parts(plan), settings.variables()
    return _with_headers(plan, settings.signer.sign(request, variables, settings.auth_settings, now))


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
