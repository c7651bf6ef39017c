"""Connections on the move: exports, imports, and what today's Nango says of its connections."""
