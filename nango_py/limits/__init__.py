"""Budgets: what an API allows, who may send when, and what its answers say about it."""
