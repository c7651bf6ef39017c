"""Exports of today's Nango, read as connections."""
