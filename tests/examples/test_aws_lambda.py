"""examples/aws_lambda runs in AWS's own runtime client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from tests.support.databases import fresh_postgres
from tests.support.example_apps import KEY, copy_of, environment, running
from tests.support.lambda_runtime import lambda_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py import Sandbox


def request_of(user: str) -> dict[str, Any]:
    """The event of an HTTP request whose token API Gateway has checked."""
    return {"requestContext": {"authorizer": {"jwt": {"claims": {"sub": user}}}}}


def test_the_function_calls_the_api_for_the_user(klaviyo: Sandbox, tmp_path: Path) -> None:
    """The user of the token is the user of the connection, and a 429 is a 503 that says when to try again."""
    klaviyo.respond("GET", "metrics", json={"data": [{"id": "1", "attributes": {"name": "Placed Order"}}]})
    app = copy_of("aws_lambda", tmp_path, klaviyo)
    with fresh_postgres() as url, lambda_runtime() as runtime:
        environ = environment(
            DATABASE_URL=url, AWS_LAMBDA_RUNTIME_API=runtime.address, AWS_LAMBDA_LOG_FORMAT="TEXT"
        )
        with Nango(app / "integrations.yaml", encryption_keys=KEY, environ=environ) as nango:
            nango.register_connection("klaviyo", "ada", {"api_key": "pk_ada"})
        with running(["-m", "awslambdaric", "handler.handle"], app, environ, line=""):
            found = runtime.invoke(request_of("ada"))
            assert (found["statusCode"], json.loads(found["body"])) == (200, ["Placed Order"])
            assert runtime.invoke(request_of("eve"))["statusCode"] == 409

            klaviyo.respond("GET", "metrics", status=429, headers={"Retry-After": "60"})
            busy = runtime.invoke(request_of("ada"))
            assert (busy["statusCode"], busy["headers"]["Retry-After"]) == (503, "60")
    assert klaviyo.ledger.count(user="ada", status=200) == 1
    assert not (app / ".nango").exists(), "a function has a read-only file system"


@pytest.mark.parametrize("path", ["handler.py", "integrations.yaml"])
def test_the_function_has_no_secret(path: str) -> None:
    """Key and database are in the environment."""
    from tests.support.example_apps import EXAMPLES

    text = (EXAMPLES / "aws_lambda" / path).read_text()
    assert KEY not in text
    assert "postgresql://" not in text
