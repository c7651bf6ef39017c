"""Words that people use for what the names of actions call something else."""

from __future__ import annotations

from pathlib import Path


def read_synonyms() -> dict[str, tuple[str, ...]]:
    """The other words of each word. A line of synonyms.txt has words of one meaning."""
    table: dict[str, dict[str, None]] = {}
    for line in Path(__file__).with_name("synonyms.txt").read_text("utf-8").splitlines():
        words = line.split()
        for word in words:
            table.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in table.items()}
