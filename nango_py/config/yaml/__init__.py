"""YAML files to plain values, each with the place where it was written."""
