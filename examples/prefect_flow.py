"""Actions by Prefect: `python prefect_flow.py`. `prefect flow-run retry` continues a run that was killed."""

import time

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from nango_py import Nango, RetryAt, is_retryable

nango = Nango()


def may_succeed(_task, _run, state):
    """Whether another attempt may succeed."""
    return is_retryable(state.result(raise_on_failure=False))


@task(retries=5, retry_delay_seconds=10, retry_condition_fn=may_succeed, cache_policy=NO_CACHE)
def attempt(action, key):
    """One attempt: the result, or when the next one may start."""
    try:
        return {"result": nango.attempt_action(*action, idempotency_key=key)}
    except RetryAt as error:
        return {"when": error.when}


@flow
def run_action(integration: str, action: str, user_id: str, given: dict):
    """Run an action; the id of the flow run is its idempotency key."""
    while "when" in (outcome := attempt([integration, action, user_id, given], flow_run.id)):
        time.sleep(max(0.0, outcome["when"] - time.time()))
    return outcome["result"]


if __name__ == "__main__":
    print(run_action("klaviyo-today", "create-profile", "user-1", {"email": "sarah@example.com"}))
