"""Budgets: what an API allows, who may send when, and what its responses say about it."""
