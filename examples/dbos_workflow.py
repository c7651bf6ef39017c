"""Actions by DBOS on PostgreSQL: a process that starts again finishes what the killed one had begun."""

import os
import time

from dbos import DBOS

from nango_py import Nango, RetryAt

DBOS(config={"name": "my-product", "system_database_url": os.environ["DBOS_DATABASE_URL"]})
nango = Nango()


@DBOS.workflow()
def run_action(integration, action, user_id, given):
    """Run an action; the id of the workflow is its idempotency key."""
    while True:
        outcome = attempt(integration, action, user_id, given, DBOS.workflow_id)
        if "wait" not in outcome:
            return outcome["result"]
        DBOS.sleep(outcome["wait"])


@DBOS.step(retries_allowed=True, max_attempts=5, interval_seconds=5, backoff_rate=2)
def attempt(integration, action, user_id, given, key):
    """One attempt: the result, or the seconds to wait, which DBOS records: another process waits the same."""
    try:
        result = nango.attempt_action(integration, action, user_id, given, idempotency_key=key)
    except RetryAt as error:
        return {"wait": max(1.0, error.when - time.time())}
    return {"result": result}


if __name__ == "__main__":
    DBOS.launch()
    print(run_action("klaviyo-today", "create-profile", "user-1", {"email": "sarah@example.com"}))
