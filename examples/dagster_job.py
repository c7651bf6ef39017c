"""Actions by Dagster: `dagster dev -f dagster_job.py`. Re-execute a run that was killed from its failure."""

import time

from dagster import Config, RetryPolicy, RetryRequested, job, op

from nango_py import Nango, RetryAt

nango = Nango()


class Action(Config):
    """An action of a user."""

    integration: str
    action: str
    user_id: str
    given: dict


@op(retry_policy=RetryPolicy(max_retries=5, delay=5))
def run_action(context, config: Action):
    """Run an action; the first run and the name of the step are its idempotency key."""
    run = context.run
    key = f"{run.root_run_id or run.run_id}/{context.op_handle}"
    try:
        return nango.attempt_action(
            config.integration, config.action, config.user_id, config.given, idempotency_key=key
        )
    except RetryAt as error:
        raise RetryRequested(max_retries=100, seconds_to_wait=max(0.0, error.when - time.time())) from None


@job
def actions():
    """One action."""
    run_action()
