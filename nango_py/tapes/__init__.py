"""Tapes: recorded calls without secrets, and their replay in tests."""
