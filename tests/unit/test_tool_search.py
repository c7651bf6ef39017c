"""The search of tools: questions as users ask them find the right action among all of the catalogue."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.actions.definition import ActionInfo
from nango_py.config.summaries import read_keys
from nango_py.tools.catalogue import ActionCatalogue
from nango_py.tools.toolbox import MAX_FOUND
from nango_py.word_search import stems

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = Path(__file__).with_name("data") / "tool_questions.txt"
KEYS = frozenset({"title", "categories", "actions"})


class Question(NamedTuple):
    """What a user asks for, and the action that does it."""

    action: str
    text: str

    @property
    def shares_a_word(self) -> bool:
        """Whether the question has a word of the action's name, in any form."""
        return not set(stems(self.text)).isdisjoint(stems(self.action.partition(".")[2]))


def questions() -> list[Question]:
    """Every question of the file."""
    return [Question(*line.split(": ", 1)) for line in QUESTIONS.read_text("utf-8").splitlines()]


@functools.cache
def catalogue() -> ActionCatalogue:
    """All actions of the shipped blueprints, the newest version of each API."""
    infos: dict[str, list[ActionInfo]] = {}
    about: dict[str, tuple[str, Any]] = {}
    for path in sorted((ROOT / "blueprints").glob("*.yaml")):
        if "\nactions:" not in path.read_text("utf-8"):
            continue
        name, keys = path.name.partition(".")[0], read_keys(path, KEYS)
        assert keys is not None
        about[name] = keys.get("title", ""), keys.get("categories", ())
        infos[name] = [info(name, action, given) for action, given in keys["actions"].items()]
    return ActionCatalogue((each for group in infos.values() for each in group), about)


def info(name: str, action: str, given: Any) -> ActionInfo:
    """An action as it is written."""
    return ActionInfo(
        integration=name, name=action, title=given.get("title", ""), description=given.get("description", ""),
        changes=tuple(given.get("changes", ())), input_schema=given.get("input", {}), output_schema=None,
        kind="yaml", place=str(name),
    )  # fmt: skip


def found(query: str, limit: int = MAX_FOUND, shown: Callable[[ActionInfo], bool] = bool) -> list[str]:
    """The names of what a query finds."""
    return [f"{each.integration}.{each.name}" for each in catalogue().find(query, limit, shown)]


def test_the_questions_are_those_of_users() -> None:
    """There are 300 and more, and at least a third share no word with the name of their action."""
    asked = questions()
    assert len(asked) >= 300
    assert len({question.text for question in asked}) == len(asked)
    assert {question.action for question in asked} <= set(catalogue().by_name)
    assert sum(not question.shares_a_word for question in asked) / len(asked) >= 1 / 3


def test_the_first_five_hold_the_right_action() -> None:
    """In 95 of 100 questions, also of those that share no word with the name of the action."""
    asked = questions()
    for group in (asked, [question for question in asked if not question.shares_a_word]):
        missed = [question for question in group if question.action not in found(question.text)]
        assert len(missed) / len(group) <= 0.05, missed


def test_chance_would_be_noticed() -> None:
    """The control: without the words of the question the right action is rarely among the first five."""
    asked = questions()
    hits = sum(question.action in found("show the things that I have there") for question in asked)
    assert hits / len(asked) < 0.2


def test_hidden_actions_take_no_place() -> None:
    """Five actions are found among those that are shown."""
    names = found("a new customer, contact or person", shown=lambda each: each.integration == "stripe")
    assert len(names) == MAX_FOUND
    assert all(name.startswith("stripe.") for name in names)


def test_synonyms_weigh_less_than_the_word_itself() -> None:
    """An action that is called as the user calls it comes before one that means the same."""
    from nango_py.word_search import WordIndex

    entries = [("a", {"delete a file": 1.0}), ("b", {"remove a file": 1.0})]
    index = WordIndex(entries, {"erase": ["delete"], "remove": ["delete"]})
    assert [hit.name for hit in index.find("remove")] == ["b", "a"]
    assert [hit.name for hit in index.find("erasing")] == ["a"]
    assert WordIndex(entries).find("erase") == []
