"""The version, and where the project is published."""

__version__ = "0.1.0"

PROJECT_URL = "https://github.com/nango-py/nango-py"
"""The base of all links to the project; `[project.urls]` of pyproject.toml begins with it."""

DOCS_URL = f"{PROJECT_URL}/blob/v{__version__}/docs"
"""The folder of the documentation of this version."""
