"""How Sphinx builds the site: ``sphinx-build -W docs docs/_build``. Nothing is loaded from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

from project import SOURCE  # noqa: E402

from softmargin._version import __version__  # noqa: E402

project = "softmargin"
author = "The softmargin developers"
copyright = author
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "learn",
    "mathml",
    "members",
    "project",
]
exclude_patterns = ["_build", "gallery", "**/README.md"]
templates_path = ["_templates"]
default_role = "py:obj"
smartquotes = False  # a pair of hyphens is an option
highlight_language = "none"

# Documents

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_fence_as_directive = ["math"]  # written as the code host reads it
myst_heading_anchors = 4

# Reference

autodoc_mock_imports = ["torch", "triton"]  # softmargin.torch is described without them
autodoc_typehints = "none"  # the docstrings give the types
autodoc_member_order = "bysource"
autosummary_generate = [str(path) for path in HERE.glob("reference/*.rst")]
numpydoc_show_class_members = False

# Gallery

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "min_reported_time": 3600,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,
}

# Pages

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_favicon = "_static/logo.svg"
html_css_files = ["site.css"]
html_title = f"softmargin {version}"
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it fetches pages, which a browser refuses for files
html_context = {"default_mode": "auto"}
html_sidebars = {name: [] for name in ("index", "mathematics", "changelog")}
html_theme_options = {
    "logo": {"text": "softmargin", "image_light": "_static/logo.svg", "image_dark": "_static/logo.svg"},
    "icon_links": [{"name": "Source", "url": SOURCE, "icon": "fa-brands fa-github"}],
    "navbar_persistent": ["search-button"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
