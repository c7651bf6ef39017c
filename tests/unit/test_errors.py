"""The error tree: drawn as it is, picklable, and without secrets."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import pytest

from nango_py import errors
from nango_py.attempt import Attempt
from nango_py.errors import (
    ConfigError,
    ConnectionAlreadyExists,
    ConnectionNotFound,
    CredentialsError,
    NangoError,
    Position,
    Problem,
    ProviderError,
    RateLimited,
    RequestFailed,
    TransportFailed,
    UnknownBlueprint,
    UnknownIntegration,
    nearest,
    printable,
    unknown_name,
)
from tests.support.made_values import KEY, a_plan


def drawn_tree() -> dict[str, str]:
    """Each error of the docstring's drawing, with the one it stands under."""
    found: dict[str, str] = {}
    above: list[str] = []
    for indent, name in re.findall(r"^((?:  )+)([A-Z]\w+)(?:  |$)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 2 - 2
        above = [*above[:depth], name]
        found[name] = above[depth - 1] if depth else ""
    return found


def test_the_drawn_tree_is_the_real_one() -> None:
    """Every public error stands in the drawing under the class that it inherits from."""
    real = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, NangoError) and name != "UnknownNameError"
    }
    drawn = drawn_tree()
    assert set(drawn) == set(real)
    for name, above in drawn.items():
        if above:
            assert issubclass(real[name], real[above]), f"{name} is no {above}"
            parents = {cls.__name__ for cls in real[name].__mro__[1:]} & set(drawn)
            assert all(issubclass(real[above], real[parent]) for parent in parents)


PROBLEM = Problem(Position("integrations.yaml", 3, 5), "E202", "unknown key", "", "did you mean x?")
SAMPLES: list[NangoError] = [
    NangoError("plain"),
    ConfigError([PROBLEM]),
    UnknownIntegration("klavio", ["klaviyo"], hint="declared in integrations.yaml"),
    UnknownBlueprint("klaviyo:v9", ["klaviyo:v0"]),
    errors.UnknownAction("x", []),
    ConnectionNotFound("klaviyo", "user-1"),
    ConnectionAlreadyExists("klaviyo", "user-1"),
    CredentialsError("klaviyo/user-1: refused", integration="klaviyo", user_id="user-1"),
    errors.JobNotFound("job-1"),
    errors.ActionInputError("shop", "order", [PROBLEM]),
    errors.ActionFailed("failed", integration="shop", action="order", call_ids=("1",), cause_type="KeyError"),
    errors.TapeError("calls are left"),
    RequestFailed("failed"),
    errors.InvalidRequest("bad path"),
    TransportFailed("reset", reason="reset"),
    RateLimited("limited", retry_at=12.5, window="10/second"),
    errors.DeadlineExceeded("over"),
    ProviderError("bad", status=410, code="gone", provider_message="moved"),
    errors.StorageError("locked"),
    errors.TamperError("altered"),
    errors.ConnectFailed("invalid_credentials", "no", fields={"api_key": "is empty"}),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_survives_pickling(error: NangoError) -> None:
    """A worker process may hand it to its parent; type, sentence and attributes stay."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    public = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    assert {name: vars(copy).get(name) for name in public} == public


def test_there_is_a_sample_of_every_error() -> None:
    """The list above has no gaps."""
    assert {type(error).__name__ for error in SAMPLES} == set(drawn_tree())


KINDS = [cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, RequestFailed)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_with_a_plan_shows_no_credential(kind: type[RequestFailed]) -> None:
    """repr, str, args, attributes and the pickle are free of what the plan holds; the plan stays behind."""
    details: dict[str, Any] = {"plan": a_plan(params={"x": 1}), "attempts": (Attempt(number=1, status=500),)}
    error = kind("failed", **details)
    data = pickle.dumps(error)
    assert KEY not in f"{error!r} {error} {error.args} {vars(error)}"
    assert KEY.encode() not in data
    copy = pickle.loads(data)  # noqa: S301 - our own bytes
    assert (copy.plan, copy.attempts, copy.response) == (None, (), None)


def test_an_invalid_request_is_a_value_error() -> None:
    """Callers who never heard of this package catch what they expect."""
    assert issubclass(errors.InvalidRequest, ValueError)


def test_problems_are_sorted_by_place_and_printed_one_a_line() -> None:
    """The form that editors make clickable, and warnings as such."""
    later = Problem(Position("integrations.yaml", 10, 1), "W501", "loose mode")
    whole = Problem(Position("a.yaml"), "E010", "permission denied")
    error = ConfigError([later, PROBLEM, whole])
    assert str(error).splitlines() == [
        "a.yaml: error[E010]: permission denied",
        "integrations.yaml:3:5: error[E202]: unknown key; did you mean x?",
        "integrations.yaml:10:1: warning[W501]: loose mode",
    ]
    assert error.problems == (whole, PROBLEM, later)


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("klavio", ["klaviyo", "close"], "klaviyo"),
        ("Klaviyo", ["klaviyo"], "klaviyo"),
        ("api_kye", ["api_key", "username"], "api_key"),
        ("zebra", ["klaviyo"], ""),
        ("x", [], ""),
        ("oauth2", ["OAUTH2"], "OAUTH2"),
    ],
)
def test_a_name_is_suggested_only_if_it_is_similar(name: str, known: list[str], found: str) -> None:
    """A typo gets its name, something else gets none."""
    assert nearest(name, known) == found


def test_the_message_for_an_unknown_name_has_suggestion_and_hint() -> None:
    """The nearest name, else the known ones, then the hint."""
    assert unknown_name("integration", "klavio", ["klaviyo"]) == (
        'unknown integration "klavio"; did you mean "klaviyo"?'
    )
    assert unknown_name("action", "zebra", ["b", "a"], "see docs") == (
        'unknown action "zebra"; known: a, b; see docs'
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é", "plain é"),
        ("a\n2026 INFO fake", r"a\n2026 INFO fake"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202eabc", r"\u202eabc"),
        ("x" * 200, "x" * 100 + "..."),
    ],
)
def test_text_from_outside_stays_on_its_line(text: str, shown: str) -> None:
    """Controls and bidi marks are escaped, and long texts end."""
    assert printable(text) == shown
