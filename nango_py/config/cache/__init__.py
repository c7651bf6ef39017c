"""The checked configuration, kept on disk between starts."""
