"""`nango demo`."""
