"""Actions as jobs: checked before they are stored, resumed after each step, and keyed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import (
    ActionFailed,
    ActionInputError,
    ConnectionNotFound,
    Nango,
    RetryAt,
    Sandbox,
    UnknownAction,
    is_retryable,
)
from nango_py.clock import VirtualClock
from nango_py.sandbox import Fault, FaultPlan
from tests.support.job_product import KEY, register_users, shop_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDERS = {
    "changes": ["orders"],
    "input": {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": False,
    },
    "steps": [
        {
            "name": "orders",
            "for_each": {"in": "input.items", "concurrency": 1},
            "request": {"method": "POST", "path": "orders", "json": {"item": "${item}"}},
        }
    ],
    "result": "length(steps.orders)",
}
LIMITS = {"budgets": [{"key": "all", "otherwise": [{"requests": 2, "per_seconds": 60}]}]}
MODULE = """\
from typing import TypedDict

from nango_py import action


class Numbers(TypedDict):
    numbers: list[int]


@action("shop", "paced")
def paced(context, given: Numbers) -> int:
    done = context.saved or 0
    for number in given["numbers"][done:]:
        context.post("orders", json={"n": number}, idempotency_key=f"{context.idempotency_key}-{number}")
        done += 1
        context.checkpoint(done)
    return done
"""


class Product:
    """A Nango whose actions are jobs, the sandbox and the clock of both."""

    def __init__(self, nango: Nango, sandbox: Sandbox, clock: VirtualClock, faults: FaultPlan) -> None:
        self.nango, self.sandbox, self.clock, self.faults = nango, sandbox, clock, faults

    def finish(self, job_id: str) -> Any:
        """Run what is due until a job has ended, a minute after the other."""
        while not self.nango.jobs.get(job_id).is_ended:
            self.nango.jobs.run_due()
            self.clock.advance(minutes=1)
        return self.nango.jobs.get(job_id)


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    """An API with two calls a minute, which takes idempotency keys."""
    (tmp_path / "job_actions_for_tests.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    clock, faults = VirtualClock(), FaultPlan.script()
    retries = {"max_attempts": 1, "idempotency_header": "Idempotency-Key"}
    shop = shop_entry(retries=retries, actions={"order": ORDERS}, rate_limits=LIMITS)
    with Sandbox(shop, clock=clock, strict=False, faults=faults) as sandbox:
        source = {
            "integrations": {"shop": shop},
            "config": {"jobs": {"runner": "threads"}, "actions": ["job_actions_for_tests"]},
        }
        with Nango(
            source, overrides={"shop": sandbox.overrides}, database_url="sqlite:///:memory:",
            encryption_keys=KEY, environ={}, clock=clock,
        ) as nango:  # fmt: skip
            register_users(nango, "ann")
            yield Product(nango, sandbox, clock, faults)


def items_of(sandbox: Sandbox) -> list[Any]:
    """What the API carried out, in order."""
    return [json.loads(one.body).get("item") for one in sandbox.ledger.received if one.processed]


def test_an_action_waits_for_its_quota_outside_of_the_worker(product: Product) -> None:
    """Five calls at two a minute: three attempts go on where the last one ended, and no time is slept."""
    job = product.nango.enqueue_action("shop", "order", "ann", {"items": list("abcde")})
    began = product.clock.monotonic()
    product.nango.jobs.run_due()
    assert product.clock.monotonic() - began < 2
    assert product.nango.jobs.get(job.id).status == "waiting"
    done = product.finish(job.id)
    assert (done.status, done.result, done.attempts) == ("done", 5, 1)
    assert items_of(product.sandbox) == list("abcde")
    assert len(product.sandbox.ledger.received) == 5


def test_a_lost_response_does_not_repeat_the_side_effect(product: Product) -> None:
    """The second attempt sends the same key, so the API carries the order out once."""
    product.faults.add(Fault("reset_after"))
    job = product.nango.enqueue_action("shop", "order", "ann", {"items": ["a"]}, idempotency_key="basket-1")
    again = product.nango.enqueue_action("shop", "order", "ann", {"items": ["a"]}, idempotency_key="basket-1")
    assert again.id == job.id
    assert product.finish(job.id).attempts == 2
    keys = [one.headers["idempotency-key"] for one in product.sandbox.ledger.received]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert items_of(product.sandbox) == ["a"]


def test_an_action_in_python_goes_on_from_its_checkpoint(product: Product) -> None:
    """It is put back like one in YAML."""
    job = product.nango.enqueue_action("shop", "paced", "ann", {"numbers": [1, 2, 3]})
    assert product.finish(job.id).result == 3
    assert [json.loads(one.body)["n"] for one in product.sandbox.ledger.received] == [1, 2, 3]


def test_a_wrong_job_is_not_stored(product: Product) -> None:
    """Unknown actions and users, and wrong input, are refused when the job is enqueued."""
    nango = product.nango
    with pytest.raises(ActionInputError, match=r"input\.items"):
        nango.enqueue_action("shop", "order", "ann", {"items": "a"})
    with pytest.raises(UnknownAction, match='did you mean "order"'):
        nango.enqueue_action("shop", "oder", "ann", {"items": []})
    with pytest.raises(ConnectionNotFound):
        nango.enqueue_action("shop", "order", "bob", {"items": []})
    with pytest.raises(ValueError, match="every=, or a cron"):
        nango.schedule_action("shop", "order", "ann", {"items": []})
    assert nango.jobs.count() == {}


def test_an_action_that_cannot_succeed_fails(product: Product) -> None:
    """A refusal by the API is final; the error names the action."""
    product.faults.add(422)
    job = product.nango.enqueue_action("shop", "order", "ann", {"items": ["a"]}, lane="interactive")
    failed = product.finish(job.id)
    assert (failed.status, failed.attempts) == ("failed", 1)
    assert "shop action order failed" in failed.error


def test_an_action_runs_on_a_schedule(product: Product) -> None:
    """At an interval and by a cron expression, until the connection is deleted."""
    nango, clock = product.nango, product.clock
    every = nango.schedule_action("shop", "order", "ann", {"items": ["e"]}, every=3600)
    cron = nango.schedule_action("shop", "order", "ann", {"items": ["c"]}, cron="0 7 * * *", name="daily")
    assert [(one.name, one.rule) for one in nango.jobs.schedules()] == [
        ("order", "every 3600"), ("order daily", "cron 0 7 * * *"),
    ]  # fmt: skip
    clock.advance(every.next_at.timestamp() - clock.now())
    nango.jobs.run_due()
    clock.advance(max(120.0, cron.next_at.timestamp() - clock.now()))
    nango.jobs.run_due()
    assert set(items_of(product.sandbox)) == {"e", "c"}
    nango.delete_connection("shop", "ann")
    clock.advance(days=1)
    assert nango.jobs.run_due() == 0
    assert nango.jobs.schedules() == []


def test_an_attempt_for_another_queue_is_put_back_by_an_exception(product: Product) -> None:
    """The first calls are made and remembered; then `RetryAt` says when to go on."""
    kept: list[Any] = []
    given = {"items": list("abc")}
    with pytest.raises(RetryAt) as caught:
        product.nango.attempt_action(
            "shop", "order", "ann", given, idempotency_key="task-1", checkpoint=kept.append
        )
    assert caught.value.when == pytest.approx(product.clock.now() + 60, abs=1)
    assert items_of(product.sandbox) == ["a", "b"]
    product.clock.advance(minutes=1)
    result = product.nango.attempt_action(
        "shop", "order", "ann", given, idempotency_key="task-1", saved=kept[-1], checkpoint=kept.append
    )
    assert result == 3
    assert items_of(product.sandbox) == ["a", "b", "c"]


@pytest.mark.parametrize(("key", "error"), [("", ValueError), (None, TypeError), (17, TypeError)])
def test_an_attempt_needs_the_key_of_its_task(product: Product, key: Any, error: type[Exception]) -> None:
    """A task without an id would send other keys in each attempt: nothing is sent."""
    with pytest.raises(error, match="the same in each attempt"):
        product.nango.attempt_action("shop", "order", "ann", {"items": ["a"]}, idempotency_key=key)
    assert items_of(product.sandbox) == []


def test_a_failed_attempt_says_whether_to_repeat_it(product: Product) -> None:
    """A lost response may succeed the next time; a refusal does not."""
    outcomes = []
    for fault in (Fault("reset_after"), 422):
        product.faults.add(fault)
        with pytest.raises(ActionFailed) as caught:
            product.nango.attempt_action("shop", "order", "ann", {"items": ["a"]}, idempotency_key="task-2")
        outcomes.append(is_retryable(caught.value))
    assert outcomes == [True, False]
