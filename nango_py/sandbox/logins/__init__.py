"""The login pages and token endpoints of a sandbox, written independently of the client."""
