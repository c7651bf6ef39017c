"""Sphinx configuration of the documentation site. `python docs/build_site.py` builds it."""

from __future__ import annotations

from nango_py._version import DOCS_URL, __version__

project = "nango_py"
author = "nango_py contributors"
project_copyright = "nango_py contributors, MIT licence"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"

html_baseurl = f"{DOCS_URL}/"
html_theme = "furo"
html_title = f"nango_py {__version__}"
html_static_path = ["_static"]
html_css_files = ["catalogue.css"]
html_js_files = ["catalogue.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
