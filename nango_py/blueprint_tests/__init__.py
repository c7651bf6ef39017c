"""Tests of a blueprint against its sandbox: `nango blueprints test`."""
