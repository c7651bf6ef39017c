"""`Sandbox`: a local simulation of an API, generated from its blueprint.

It has its own template parser, rate limit counters and HTTP server, so that a bug in the client is detected
instead of repeated.
"""

from __future__ import annotations

from nango_py.sandbox.faults import Fault, FaultPlan
from nango_py.sandbox.ledger import Ledger, Received
from nango_py.sandbox.logins.tokens import TokenRules
from nango_py.sandbox.request_counts import Counted
from nango_py.sandbox.responses import SandboxResponse
from nango_py.sandbox.routes import SandboxRequest
from nango_py.sandbox.server import Sandbox

__all__ = [
    "Counted",
    "Fault",
    "FaultPlan",
    "Ledger",
    "Received",
    "Sandbox",
    "SandboxRequest",
    "SandboxResponse",
    "TokenRules",
]
