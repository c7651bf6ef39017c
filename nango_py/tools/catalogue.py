"""The actions of all integrations, as language models find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.tools.definitions import tool_name
from nango_py.tools.permissions import full_name
from nango_py.tools.synonyms import read_synonyms
from nango_py.word_search import WordIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nango_py.actions.definition import ActionInfo

NAME_WEIGHT, APP_WEIGHT, TEXT_WEIGHT, CATEGORY_WEIGHT, INPUT_WEIGHT = 3.0, 3.0, 1.5, 1.0, 0.4


class ActionCatalogue:
    """Actions by the names that models use, and a search among them.

    Args:
        infos: the actions.
        about: words on the app of each integration, such as its title, and its categories.
    """

    def __init__(self, infos: Iterable[ActionInfo], about: Mapping[str, tuple[str, Sequence[str]]]) -> None:
        self.by_name = {full_name(info): info for info in infos}
        self.by_tool_name = {tool_name(info): info for info in self.by_name.values()}
        self._about = about
        self._index = WordIndex(
            ((name, dict(self._texts(info))) for name, info in self.by_name.items()), read_synonyms()
        )

    def find(self, query: str, limit: int, is_shown: Callable[[ActionInfo], bool]) -> list[ActionInfo]:
        """The actions that fit a query best, best first."""
        hits = self._index.find(query, len(self.by_name))
        found = (self.by_name[hit.name] for hit in hits)
        return [info for info in found if is_shown(info)][:limit]

    def _texts(self, info: ActionInfo) -> Iterator[tuple[str, float]]:
        title, categories = self._about.get(info.integration, ("", ()))
        yield f"{info.name} / {info.title}", NAME_WEIGHT
        yield f"{info.integration} {title}", APP_WEIGHT
        yield info.description, TEXT_WEIGHT
        yield " ".join((*categories, *info.changes)) + ".", CATEGORY_WEIGHT
        properties = info.input_schema.get("properties")
        for name, schema in properties.items() if isinstance(properties, dict) else ():
            text = schema.get("description") if isinstance(schema, dict) else ""
            yield f"{name.replace('_', ' ')}: {text or ''}", INPUT_WEIGHT
