"""Reads the provider file of today's Nango (`providers.yaml`), of which users bring their own copy."""
