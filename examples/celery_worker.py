"""Actions by Celery: `celery -A celery_worker worker`. RabbitMQ gives tasks of a killed worker to others."""

import os
from datetime import UTC, datetime

from celery import Celery

from nango_py import ActionFailed, Nango, RetryAt, is_retryable

app = Celery("my_product", broker=os.environ.get("BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//"))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
nango = Nango()


@app.task(bind=True, max_retries=20)
def run_action(self, integration, action, user_id, given):
    """Run an action; the id of the task is its idempotency key."""
    try:
        return nango.attempt_action(integration, action, user_id, given, idempotency_key=self.request.id)
    except RetryAt as error:
        eta = datetime.fromtimestamp(error.when, UTC)
        raise self.retry(eta=eta, max_retries=self.request.retries + 1) from None  # however often
    except ActionFailed as error:
        if not is_retryable(error):
            raise
        raise self.retry(countdown=min(5 * 2**self.request.retries, 3600)) from None


if __name__ == "__main__":
    run_action.delay("klaviyo-today", "create-profile", "user-1", {"email": "sarah@example.com"})
