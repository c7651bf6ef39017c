"""Users' connections, sealed: one SQL text, two databases, keys that can be changed while in use."""
