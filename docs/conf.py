"""Sphinx settings of the documentation."""

project = "Allod"
author = "The Allod authors"
copyright = "The Allod authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Allod"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
