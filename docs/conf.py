"""How `make docs` makes the site: Markdown by MyST, Python pages from the docstrings, nothing fetched from anywhere."""

from sphinx.application import Sphinx

from alignrec import __version__

project = "alignrec"
author = "the alignrec authors"
copyright = "the alignrec authors, Apache-2.0"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
highlight_language = "none"  # a block that names no language is a command or an equation
myst_heading_anchors = 3

default_role = "code"  # docstrings put names between single backticks
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "model_config"}
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"alignrec {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

_ATTRIBUTES = ("attribute", "data", "property")
_written: dict[str, list[str]] = {}  # attribute -> its docstring before napoleon


def _keep(_app: Sphinx, what: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
    """Remember what stands under an attribute: napoleon would take the words before a colon for its type."""
    if what in _ATTRIBUTES:
        _written[name] = list(lines)


def _put_back(_app: Sphinx, what: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
    if what in _ATTRIBUTES:
        lines[:] = _written.pop(name)


def setup(app: Sphinx) -> None:
    """Stand before and behind napoleon, which has the usual priority of 500."""
    app.connect("autodoc-process-docstring", _keep, priority=400)
    app.connect("autodoc-process-docstring", _put_back, priority=600)
