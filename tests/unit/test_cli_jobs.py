"""`nango jobs` and `nango worker` in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nango_py import Nango

if TYPE_CHECKING:
    from nango_py import Job
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

INLINE = "integrations: {klaviyo: {extends_blueprint: 'klaviyo:v1'}}\nconfig: {jobs: {runner: inline}}\n"
APP = """\
from nango_py import Nango
nango = Nango()
nango.jobs.register("echo", lambda context: context.payload)
other = 7
"""


@pytest.fixture
def nango(product: Product) -> Nango:
    """The Nango of the folder's files, with a user."""
    product.write("integrations.yaml", INLINE)
    opened = Nango()
    opened.register_connection("klaviyo", "ann", {"api_key": "pk_test_1234"})
    return opened


def put(nango: Nango, handler: str = "echo", **options: object) -> Job:
    """A job that waits, because this process has no handler for it yet."""
    return nango.jobs.enqueue(handler, {"n": 1}, integration="klaviyo", user_id="ann", **options)  # type: ignore[arg-type]


def test_jobs_are_listed_and_shown(product: Product, nango: Nango) -> None:
    """A table or JSON; `show` has the payload and the log too."""
    job = put(nango)
    listed = product.run("jobs", "list")
    assert listed.code == 0
    assert job.id in listed.out
    assert "1/5" in listed.out
    assert json.loads(product.run("jobs", "list", "--json").out)[0]["handler"] == "echo"
    assert product.run("jobs", "list", "--status", "done").err == "no jobs\n"
    shown = product.run("jobs", "show", job.id)
    assert '"n": 1' in shown.out
    assert "attempt 1 ended" in shown.out
    assert json.loads(product.run("jobs", "show", job.id, "--json").out)["payload"] == {"n": 1}
    missing = product.run("jobs", "show", "nothing")
    assert missing.code == 2
    assert 'no job has the id "nothing"' in missing.err


def test_jobs_are_cancelled_and_retried(product: Product, nango: Nango) -> None:
    """Each command prints the status afterwards."""
    waiting, dead = put(nango), put(nango, max_attempts=1)
    assert product.run("jobs", "cancel", waiting.id).out == f"{waiting.id} cancelled\n"
    assert product.run("jobs", "retry", "--all-dead").out == f"{dead.id} dead\n"
    assert "waiting" in product.run("jobs", "retry", waiting.id).out
    assert product.run("jobs", "retry").code == 2
    assert product.run("jobs", "retry", dead.id, "--all-dead").code == 2


def test_a_worker_runs_the_handlers_of_a_program(
    product: Product, nango: Nango, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--app` names its Nango; without it, no handler of the program is known."""
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    product.write("job_app_for_tests.py", APP)
    job = put(nango)
    nango.jobs.cancel(job.id)
    nango.store.write(lambda run: run("UPDATE nango_jobs SET status = 'waiting', is_cancelled = 0", {}))
    nango.store.write(lambda run: run("UPDATE nango_jobs SET run_at = 0", {}))
    done = product.run("worker", "--app", "job_app_for_tests:nango", "--concurrency", "2")
    assert (done.code, done.err.splitlines()[0].partition(";")[0]) == (
        0, "worker (inline): 2 jobs at a time, lanes interactive, default, background",
    )  # fmt: skip
    assert nango.jobs.get(job.id).result == {"n": 1}
    assert product.run("worker", "--app", "job_app_for_tests:other").code == 2
    assert product.run("worker", "--app", "job_app_for_tests").code == 2


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("no_such_app:nango", "", "ModuleNotFoundError"),
        (".relative:nango", "", "TypeError"),
        (":nango", "", "ValueError"),
        ("raising_app:nango", "raise RuntimeError('no settings')", "RuntimeError: no settings"),
        ("exiting_app:nango", "raise SystemExit(3)", "SystemExit"),
        ("wrong_app:nango", "def (", "SyntaxError"),
    ],
)
def test_a_program_that_cannot_be_imported_is_a_usage_error(
    product: Product, place: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what its own code raised, and not that nango_py has a bug."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    if text:
        product.write(f"{place.partition(':')[0]}.py", text)
    found = product.run("worker", "--app", place)
    assert found.code == 2
    assert "cannot be imported" in found.err
    assert said in found.err
