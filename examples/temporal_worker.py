"""Actions by Temporal: `python temporal_worker.py`. An activity of a killed worker runs again on another."""

import asyncio
import os
import time
from datetime import timedelta

from temporalio import activity, client, exceptions, worker

from nango_py import Nango, NangoError, RetryAt, is_retryable

nango = Nango()


@activity.defn
async def run_action(action: list):
    """Run an action in a workflow or by `client.start_activity`; the ids are its idempotency key."""
    key = f"{activity.info().workflow_id or ''}/{activity.info().activity_id}"
    running = asyncio.create_task(asyncio.to_thread(nango.attempt_action, *action, idempotency_key=key))
    while not (await asyncio.wait([running], timeout=2))[0]:
        activity.heartbeat()  # with a heartbeat_timeout, the end of the worker is noticed
    try:
        return running.result()
    except NangoError as error:
        is_final, wait = not is_retryable(error), None
        if isinstance(error, RetryAt):
            wait = timedelta(seconds=max(1, error.when - time.time()))
        failure = exceptions.ApplicationError(str(error), non_retryable=is_final, next_retry_delay=wait)
    raise failure


async def main():
    """Run a worker."""
    server = await client.Client.connect(os.environ["TEMPORAL_ADDRESS"])
    await worker.Worker(server, task_queue="actions", activities=[run_action]).run()


if __name__ == "__main__":
    asyncio.run(main())
