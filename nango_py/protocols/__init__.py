"""OAuth, JWT, Digest and signatures as pure functions: no sockets, no clock."""
