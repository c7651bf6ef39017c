"""A process of an engine that runs the recipe in examples/ for it, and dies after some of its calls.

    engine_process.py ENGINE ORDERS FOLDER

The working directory has integrations.yaml. A process dies by SIGKILL after the API has carried out every
fourth order, and before the engine knows; another process does not die of the same order. `done-N` in the
FOLDER says that order N is done, and `put-back-N` that an attempt met the limit of the API.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nango_py import Nango, RetryAt

EXAMPLES = Path(__file__).parents[2] / "examples"
ACTION = ("shop", "order", "ann")
EVERY = 4


def die_after_some_calls(folder: Path) -> None:
    """Kill this process after the first attempt of every fourth order."""
    attempt = Nango.attempt_action

    def attempt_and_die(nango: Nango, *arguments: Any, **options: Any) -> Any:
        number = arguments[3]["n"]
        try:
            result = attempt(nango, *arguments, **options)
        except RetryAt:
            (folder / f"put-back-{number}").touch()
            raise
        died = folder / f"died-{number}"
        if number % EVERY == EVERY - 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Nango.attempt_action = attempt_and_die  # type: ignore[method-assign]


def run_celery(orders: int, folder: Path) -> None:
    """A worker that runs until it is stopped; the first process has sent the tasks."""
    from celery import signals
    from celery_worker import app, run_action

    app.conf.update(task_default_queue=folder.name, worker_hijack_root_logger=False)

    def note(sender: Any, **_: Any) -> None:
        number = sender.request.args[3]["n"]
        (folder / f"done-{number}").touch()

    signals.task_success.connect(note, weak=False)
    if orders:
        for number in range(orders):
            run_action.apply_async((*ACTION, {"n": number}))
        return
    name = f"worker-{os.getpid()}@%h"
    app.worker_main(
        ["worker", "-n", name, "-P", "solo", "-l", "ERROR", "--without-gossip", "--without-mingle"]
    )


def run_dbos(orders: int, folder: Path) -> None:
    """Start all workflows, which have ids, and wait for them; those of a killed process go on first."""
    from dbos import DBOS, SetWorkflowID
    from dbos_workflow import run_action

    DBOS.launch()
    handles = []
    for number in range(orders):
        with SetWorkflowID(f"order-{number}"):
            handles.append(DBOS.start_workflow(run_action, *ACTION, {"n": number}))
    for number, handle in enumerate(handles):
        handle.get_result()
        (folder / f"done-{number}").touch()
    DBOS.destroy()


def run_dagster(orders: int, folder: Path) -> None:
    """Run one job after the other; a run that was killed is executed again from its failure."""
    from dagster import DagsterInstance, DagsterRunStatus, ReexecutionOptions, execute_job, reconstructable
    from dagster_job import actions

    job = reconstructable(actions)
    names = dict(zip(("integration", "action", "user_id"), ACTION, strict=True))
    with DagsterInstance.local_temp(str(folder)) as instance:
        for number in range(orders):
            if (folder / f"done-{number}").exists():
                continue
            ops = {"run_action": {"config": {**names, "given": {"n": number}}}}
            config = {"ops": ops, "execution": {"config": {"in_process": {}}}}
            options = None
            for run in instance.get_runs():
                if run.status == DagsterRunStatus.STARTED and run.run_config == config:
                    instance.report_run_failed(run)
                    options = ReexecutionOptions(run.run_id)
            with execute_job(job, instance, run_config=config, reexecution_options=options) as result:
                assert result.success
            (folder / f"done-{number}").touch()


def run_temporal(orders: int, folder: Path) -> None:
    """A worker that runs until it is stopped; the first process starts the activities and waits for them."""
    import temporal_worker
    from temporalio.client import Client

    async def wait_for(client: Client, number: int) -> None:
        handle = await client.start_activity(
            temporal_worker.run_action,
            [*ACTION, {"n": number}],
            id=f"order-{number}",
            task_queue="actions",
            heartbeat_timeout=timedelta(seconds=5),
            schedule_to_close_timeout=timedelta(days=1),
        )
        await handle.result()
        (folder / f"done-{number}").touch()

    async def wait_for_all() -> None:
        client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
        await asyncio.gather(*(wait_for(client, number) for number in range(orders)))

    asyncio.run(wait_for_all() if orders else temporal_worker.main())


def run_prefect(orders: int, folder: Path) -> None:
    """Run one flow after the other; a run that was killed goes on as by `prefect flow-run retry`."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.flow_engine import run_flow
    from prefect.states import Pending, Scheduled
    from prefect_flow import run_action

    names = ("integration", "action", "user_id")
    with get_client(sync_client=True) as client:
        for number in range(orders):
            if (folder / f"done-{number}").exists():
                continue
            name = f"order-{number}"
            known = client.read_flow_runs(flow_run_filter=FlowRunFilter(name={"any_": [name]}))
            given = {**dict(zip(names, ACTION, strict=True)), "given": {"n": number}}
            run = (
                known[0]
                if known
                else client.create_flow_run(run_action, parameters=given, name=name, state=Pending())
            )
            client.set_flow_run_state(run.id, Scheduled(), force=True)
            run_flow(run_action, client.read_flow_run(run.id))
            (folder / f"done-{number}").touch()


def run_airflow(orders: int, folder: Path) -> None:
    """Run the DAG once for each date; a run that was killed starts again, with the same id."""
    from airflow_dag import ACTION as EXAMPLE
    from airflow_dag import actions

    example = dict(zip(EXAMPLE, ACTION, strict=False))
    for number in range(orders):
        if (folder / f"done-{number}").exists():
            continue
        date = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=number)
        run = actions().test(date, date, run_conf={**example, "given": {"n": number}})
        assert run.state == "success"
        (folder / f"done-{number}").touch()


ENGINES = {
    "airflow": run_airflow,
    "celery": run_celery,
    "dagster": run_dagster,
    "dbos": run_dbos,
    "prefect": run_prefect,
    "temporal": run_temporal,
}


def main(engine: str, orders: str, folder: str) -> None:
    """Run the engine."""
    sys.path.insert(0, str(EXAMPLES))
    die_after_some_calls(Path(folder))
    ENGINES[engine](int(orders), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
