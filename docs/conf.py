"""Settings of the documentation site: `make docs` builds it into docs/_build/html."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "docs"))

import solon  # noqa: E402 - found by the line above

project = "Solon"
author = "the Solon authors"
release = solon.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "code_pages"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"Solon {release}"
html_static_path = ["_static"]
html_theme_options = {"navigation_with_keys": True}
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
nitpicky = False
suppress_warnings = ["myst.header"]
