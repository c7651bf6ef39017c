"""Actions as tools of language models: searched, described, permitted and called for one user."""
