"""Drafts of blueprints, for `nango blueprints new`."""
