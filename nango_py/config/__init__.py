"""Reads the configuration files, checks them once before any request, and freezes them."""
