"""Kinds of pagination: one file each, found by name (see `nango_py.registry`)."""
