"""Reads YAML files as plain values, each with the place where it was written."""
