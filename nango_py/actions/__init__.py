"""Actions: named, typed operations on a connection, in YAML or Python."""
