"""Celery tasks that are put back until the API allows their call."""

import os
from datetime import UTC, datetime, timedelta

from celery import Celery, Task

from nango_py import Nango, RateLimited, RequestFailed, is_retryable

LONGEST = timedelta(minutes=15)
"""Brokers deliver a task again if a worker holds it long: RabbitMQ for 30 minutes, Redis for an hour."""

app = Celery("tasks", broker=os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//"))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)
nango = Nango()


@app.task(bind=True, max_retries=None)
def track_order(self: Task, user_id: str, order: str, email: str) -> None:
    """Record an order in the user's Klaviyo."""
    metric = {"data": {"type": "metric", "attributes": {"name": "Placed Order"}}}
    profile = {"data": {"type": "profile", "attributes": {"email": email}}}
    event = {"unique_id": order, "metric": metric, "profile": profile}
    klaviyo = nango.executor("klaviyo", user_id)
    try:
        klaviyo.post(
            "events",
            json={"data": {"type": "event", "attributes": event}},
            deadline_seconds=5,
            raise_for_error=True,
        )
    except RateLimited as error:
        at = datetime.fromtimestamp(error.retry_at, UTC)
        raise self.retry(eta=min(at, datetime.now(UTC) + LONGEST)) from None
    except RequestFailed as error:
        if not is_retryable(error):
            raise
        raise self.retry(countdown=min(30 * 2**self.request.retries, LONGEST.seconds)) from None
