"""OAuth, JWT, Digest and request signatures as pure functions, without I/O or a clock."""
