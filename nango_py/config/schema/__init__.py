"""The file format as JSON Schema, and the checks of documents against it."""
