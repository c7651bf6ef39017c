"""Ways to find the next page: one file each, found by name (see `nango_py.registry`)."""
