"""The life of access tokens: expiry, refresh, revocation."""
