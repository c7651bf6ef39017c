"""Full-text search over short descriptions: BM25 with weighted fields, word stems and prefixes.

The formula is that of Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond"
(2009), with weighted fields: the frequency of a word is multiplied by the weight of its field (section 3.6).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SATURATION = 1.2
LENGTH_WEIGHT = 0.5
PREFIX_WEIGHT = 0.5
SYNONYM_WEIGHT = 0.5
SHORTEST_PREFIX = 3

_WORD = re.compile(r"[^\W_]+")
_SPELLINGS = re.compile(r"\be-(?=mail)", re.IGNORECASE)
_STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "for", "from", "get", "has", "have", "how",
    "i", "in", "into", "is", "it", "its", "my", "of", "on", "or", "our", "that", "the", "their", "them",
    "they", "this", "to", "us", "use", "was", "we", "what", "when", "which", "who", "will", "with", "you",
    "your",
})  # fmt: skip
_SHORTEST_STEM = 3


class Hit(NamedTuple):
    """An entry that shares words with a query; a higher score is a better match."""

    name: str
    score: float


def stems(text: str) -> Iterator[str]:
    """The words of a text in lower case, without endings such as -s, -ing and -ed, and without stop words."""
    for word in _WORD.findall(_SPELLINGS.sub("e", text).lower()):
        if word not in _STOP_WORDS:
            yield _stem(word)


def _stem(word: str) -> str:
    for ending, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word.removesuffix(ending) + instead
            break
    return word.removesuffix("e") if len(word) > _SHORTEST_STEM else word


class WordIndex:
    """Entries that can be searched by words.

    Args:
        entries: the name of each entry, and its texts with their weights, such as
            `("slack:v0", {"Slack": 3, "Send and read messages": 1})`.
        synonyms: words of a similar meaning by word; a query with a word also finds those, with less weight.
    """

    def __init__(
        self,
        entries: Iterable[tuple[str, Mapping[str, float]]],
        synonyms: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._synonyms: dict[str, dict[str, None]] = {}
        for word, others in (synonyms or {}).items():
            for stem in stems(word):
                same = self._synonyms.setdefault(stem, {})
                same.update(dict.fromkeys(each for other in others for each in stems(other)))
        self._frequencies: dict[str, Counter[str]] = {}
        for name, texts in entries:
            frequency = self._frequencies[name] = Counter()
            for text, weight in texts.items():
                for stem in stems(text):
                    frequency[stem] += weight  # type: ignore[assignment]  # a weighted count
        self._lengths = {name: sum(frequency.values()) for name, frequency in self._frequencies.items()}
        self._mean_length = sum(self._lengths.values()) / max(len(self._lengths), 1) or 1.0
        self._holders: dict[str, list[str]] = {}
        for name, frequency in self._frequencies.items():
            for stem in frequency:
                self._holders.setdefault(stem, []).append(name)

    def find(self, query: str, limit: int = 10) -> list[Hit]:
        """The best matches, best first; those with the same score are sorted by name.

        A word that no entry has also finds the longer words that begin with it.
        """
        weights: dict[str, float] = {}
        for stem in dict.fromkeys(stems(query)):
            for word, weight in self._match_words(stem):
                weights[word] = max(weight, weights.get(word, 0.0))
        scores: Counter[str] = Counter()
        for word, weight in weights.items():
            for name in self._holders[word]:
                scores[name] += weight * self._score(word, name)  # type: ignore[assignment]
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [Hit(name, score) for name, score in best[:limit]]

    def _match_words(self, stem: str) -> Iterator[tuple[str, float]]:
        if stem in self._holders:
            yield stem, 1.0
        elif len(stem) >= SHORTEST_PREFIX:
            yield from ((word, PREFIX_WEIGHT) for word in self._holders if word.startswith(stem))
        for word in self._synonyms.get(stem, ()):
            if word in self._holders:
                yield word, SYNONYM_WEIGHT

    def _score(self, word: str, name: str) -> float:
        holders, number = len(self._holders[word]), len(self._frequencies)
        rarity = math.log(1 + (number - holders + 0.5) / (holders + 0.5))
        frequency = self._frequencies[name][word]
        length = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * self._lengths[name] / self._mean_length
        return rarity * frequency * (SATURATION + 1) / (frequency + SATURATION * length)
