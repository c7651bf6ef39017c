"""From a call to an answer: plan (pure), run (a generator without I/O), execute (sockets and waits)."""
