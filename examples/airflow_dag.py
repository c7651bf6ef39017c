"""Actions by Airflow: a DAG for the folder of DAGs. Each attempt of a task in a run has the same keys."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from nango_py import Nango, NangoError, RetryAt, is_retryable

ACTION = {"integration": "klaviyo-today", "action": "list-metrics", "user_id": "user-1", "given": {}}


@task(retries=5, retry_delay=timedelta(seconds=5), retry_exponential_backoff=True)
def run_action():
    """Run the action of the DAG's params; the run and the task are its idempotency key."""
    context = get_current_context()
    ti, action = context["ti"], [context["params"][name] for name in ACTION]
    key = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
    try:
        with Nango() as nango:  # opened by the task, because schedulers read this file often
            return nango.attempt_action(*action, idempotency_key=key)
    except RetryAt as error:
        raise AirflowRescheduleException(datetime.fromtimestamp(error.when, UTC)) from None
    except NangoError as error:
        if is_retryable(error):
            raise
        raise AirflowFailException(str(error)) from None


@dag(schedule=None, params=ACTION)
def actions():
    """One action."""
    run_action()


actions()
