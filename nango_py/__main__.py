"""`python -m nango_py` is the `nango` command."""

from __future__ import annotations

import sys

from nango_py.cli import main

if __name__ == "__main__":
    sys.exit(main())
