"""SQLite and PostgreSQL behind one interface; connections and limits are stored in it."""
