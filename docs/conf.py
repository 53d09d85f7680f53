"""How Sphinx builds the documentation: `make docs`. Nothing is fetched from a network."""

from metasci import Model, __version__

project = "metasci"
author = "metasci developers"
copyright = "metasci developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "metasci"
html_show_sourcelink = False

# docstrings are numpydoc; types stand in the signature
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
# a dimension called 'state' is no reference to an attribute of that name
suppress_warnings = ["ref.python"]
# docstrings write `name` for code
default_role = "code"


def _describe_model(app, what, name, obj, options, lines):
    """A model is documented by its equation's docstring, its inputs and its parameters."""
    if isinstance(obj, Model):
        needs = [f"{key} ({given.unit})" for key, given in (*obj.inputs.items(), *obj.histories.items())]
        tells = [f"{parameter.name} ({parameter.unit})" for parameter in obj.parameters]
        lines[:] = [
            *obj.description.splitlines(), "",
            f":Inputs: {', '.join(needs)}",
            f":Output: {obj.output.name} ({obj.output.unit})",
            f":Parameters: {', '.join(tells)}", "",
        ]  # fmt: skip


def setup(app):
    """Connect what is special here."""
    app.connect("autodoc-process-docstring", _describe_model)
