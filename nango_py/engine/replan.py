"""A plan made again for another sending: with a newer token, a signature, a response to a challenge."""

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
    """The same request with the credentials of another settings of the same connection.

    Every place that may hold a credential is rendered anew: headers, query and base URL. What the caller
    gave stays, the idempotency key above all.
    """
    old = plan.settings
    fresh = settings.headers_for(plan.method, plan.endpoint)
    headers = {key: value for key, value in plan.headers.items() if key not in old.protected_headers}
    headers.update({key: fresh[key] for key in settings.protected_headers if key in fresh})
    url = plan.url
    if url.startswith(old.base_url):
        url = settings.base_url + url[len(old.base_url) :]
    return move_to_url(replaced(plan, settings=settings, headers=headers), url)


def sign(plan: Plan, now: float) -> Plan:
    """The request with its signature, where the mode signs; for each attempt, so no nonce comes twice."""
    settings = plan.settings
    if settings.signer is None:
        return plan
    return _with(plan, settings.signer.sign(_shown(plan), settings.variables(), settings.auth_settings, now))


def answer_challenge(plan: Plan, headers: Mapping[str, str]) -> Plan | None:
    """The request that answers a 401's challenge, or None where the mode has no response to it."""
    settings = plan.settings
    if not settings.mode.answers_challenges:
        return None
    response = settings.mode.answer_challenge(headers, _shown(plan), settings.variables())
    return None if response is None else _with(plan, response)


def _with(plan: Plan, added: Mapping[str, str]) -> Plan:
    headers = {**plan.headers, **{name.lower(): (name, value) for name, value in added.items()}}
    return replaced(plan, headers=headers, hidden=plan.hidden | {name.lower() for name in added})


def _shown(plan: Plan) -> SignedRequest:
    body = plan.body if isinstance(plan.body, bytes) or plan.body is None else None
    known = b"" if plan.body is None else body
    return SignedRequest(plan.method, plan.url, dict(plan.headers.values()), known)
