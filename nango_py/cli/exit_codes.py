"""Exit codes of the `nango` command. 0 is success."""

from __future__ import annotations

FAILED = 1
"""An API call failed, or a confirmation was declined."""

USAGE_ERROR = 2
"""Invalid arguments, files or settings."""

INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT."""

PIPE_CLOSED = 141
"""The reader of a pipe is gone: 128 + SIGPIPE, as shells report it."""
