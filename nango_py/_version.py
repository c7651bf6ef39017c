"""The version, and where the project is published."""

__version__ = "0.1.0"

PROJECT_URL = "https://github.com/nango-py/nango-py"
"""The base of all links to the project; `[project.urls]` of pyproject.toml begins with it."""

SOURCE_URL = f"{PROJECT_URL}/blob/v{__version__}"
"""The files of this version; the documentation links to those that are not pages."""

DOCS_URL = "https://nango-py.github.io/nango-py"
"""The documentation site, where `docs/x.md` is `x.html`; `[project.urls]` of pyproject.toml has it too."""
