"""Functions for RQ that are put back until the API allows their call."""

import math
import time

from rq import Retry

from nango_py import Nango, RateLimited

nango = Nango()


def track_order(user_id: str, order: str, email: str) -> Retry | None:
    """Record an order in the user's Klaviyo."""
    metric = {"data": {"type": "metric", "attributes": {"name": "Placed Order"}}}
    profile = {"data": {"type": "profile", "attributes": {"email": email}}}
    event = {"unique_id": order, "metric": metric, "profile": profile}
    try:
        nango.executor("klaviyo", user_id).post(
            "events",
            json={"data": {"type": "event", "attributes": event}},
            deadline_seconds=5,
            raise_for_error=True,
        )
    except RateLimited as error:
        return Retry(max=1000, interval=max(1, math.ceil(error.retry_at - time.time())))
    return None
