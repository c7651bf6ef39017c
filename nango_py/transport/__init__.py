"""HTTP over sockets: sync and async transports, TLS, DNS, and the bodies of responses."""
