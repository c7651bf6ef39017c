"""A local stand-in for an API, generated from its blueprint: `Sandbox(blueprint.settings)`.

It is written apart from the client on purpose: it reads templates, counts windows and speaks HTTP with its
own code, so that a mistake of the client is not repeated by what checks it.
"""

from __future__ import annotations

from nango_py.sandbox.faults import Fault, FaultPlan
from nango_py.sandbox.ledger import Ledger, Received
from nango_py.sandbox.request_counts import Counted
from nango_py.sandbox.responses import SandboxResponse
from nango_py.sandbox.server import Sandbox

__all__ = ["Counted", "Fault", "FaultPlan", "Ledger", "Received", "Sandbox", "SandboxResponse"]
