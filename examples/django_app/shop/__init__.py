"""A shop whose users connect Klaviyo."""
