"""Search by words: stems, weights, rare words and prefixes."""

from __future__ import annotations

import pytest

from nango_py.word_search import WordIndex, stems

INDEX = WordIndex([
    ("mail", {"Mail": 4, "Send and read e-mails": 1}),
    ("chat", {"Chat": 4, "Send messages to channels": 1}),
    ("shop", {"Shop": 4, "Orders, customers and their categories": 1}),
    ("long", {"Long": 4, "Everything at once: " + "orders and payments and refunds and invoices " * 5: 1}),
])  # fmt: skip


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("sending an email", "mail"),
        ("E-Mail", "mail"),
        ("a message", "chat"),
        ("category", "shop"),
        ("the order of a customer", "shop"),
        ("invoicing", "long"),
        ("chan", "chat"),
    ],
)
def test_the_best_match_is_first(query: str, best: str) -> None:
    """Endings, cases and spellings do not matter; rare words count more; a prefix matches longer words."""
    assert INDEX.find(query)[0].name == best


@pytest.mark.parametrize("query", ["", "the of and", "zebra", "ch", "\x00", "💥" * 1000])
def test_nothing_matches_nothing(query: str) -> None:
    """Stop words, unknown words and two letters of a word find nothing."""
    assert INDEX.find(query) == []


def test_results_are_limited_and_in_a_fixed_order() -> None:
    """Entries with the same score are sorted by name."""
    index = WordIndex((name, {"same words": 1}) for name in ("c", "a", "b"))
    assert [hit.name for hit in index.find("words", 2)] == ["a", "b"]
    assert WordIndex([]).find("words") == []


def test_stems_unite_the_forms_of_a_word() -> None:
    """A verb and a noun have one stem in each form that descriptions use."""
    for forms in ("create creates created creating", "invoice invoices", "company companies", "box boxes"):
        assert len(set(stems(forms))) == 1, forms
    assert list(stems("address process")) == ["address", "process"]
