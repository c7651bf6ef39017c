"""Drafts of blueprints from other descriptions of an API: Nango's provider file, OpenAPI, Postman."""
