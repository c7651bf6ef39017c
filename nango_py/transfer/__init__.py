"""Connections to and from files: exports, imports, and imports from Nango."""
