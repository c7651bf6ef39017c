"""Files to frozen values: everything here is checked once, before any request."""
