"""From a call to a response: plan (pure), run (a generator without I/O), execute (sockets and waits)."""
