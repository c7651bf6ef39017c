"""Where limits are counted: in memory, in a database, in Redis."""
