"""How long a test waits before it calls something a hang."""

from __future__ import annotations

HANG_SECONDS = 20.0
"""No call that keeps its own deadline of a second or two takes this long, however busy the machine is.

What a test compares with it would last longer still: servers that stay silent, timeouts of a minute.
"""
