"""How servers page lists: one file for each kind of pagination."""
