"""Tests that the verification request of a blueprint accepts right credentials and refuses wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth._client_certificate import CERTIFICATE
from nango_py.blueprint_tests.examples import NOT_SECRET
from nango_py.config.values import MAPPINGS
from nango_py.engine.verification import ACCEPTED, MISSING_SCOPE, NOT_DECLARED, REFUSED
from nango_py.errors import NangoError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.json_types import Settings

WRONG = "wrong_"


def verification_differences(bench: Bench) -> Iterator[str]:
    """What is wrong with the verification of a blueprint; nothing without `verification` and examples."""
    if not bench.settings.get("verification") or not bench.examples:
        return
    example = next((each for each in bench.examples if each.get("credentials")), bench.examples[0])
    outcome, message = _verify(bench, example)
    if outcome != ACCEPTED:
        yield f"the credentials of an example are not accepted: {outcome} {message}".rstrip()
    if bench.mode.signs or not bench.mode.variables:
        return  # the sandbox does not verify signatures
    wrong = _wrong(bench, example)
    outcome, message = _verify(bench, wrong)
    if outcome not in {REFUSED, MISSING_SCOPE, NOT_DECLARED}:
        yield f"wrong credentials are not refused: {outcome} {message}".rstrip()
    if WRONG in message:
        yield "the message for the user contains a credential"


def _verify(bench: Bench, example: Settings) -> tuple[str, str]:
    try:
        verification = bench.caller(bench.declared, example).executor.verify()
    except NangoError as error:
        return "error", str(error)
    return verification.outcome, printable(verification.message, 300)


def _wrong(bench: Bench, example: Settings) -> Settings:
    """The example with other credentials of the same form."""
    credentials = bench.credentials_of(example)
    same = {*NOT_SECRET, *CERTIFICATE}  # no request contains a certificate
    changed = {
        name: f"{WRONG}{value}" if isinstance(value, str) and value and name not in same else value
        for name, value in credentials.items()
        if not isinstance(value, MAPPINGS)
    }
    return {**example, "credentials": {**credentials, **changed}}
