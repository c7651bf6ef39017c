"""Actions in YAML: checked and compiled, without I/O."""
