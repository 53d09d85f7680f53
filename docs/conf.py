"""How Sphinx builds the documentation: `make docs`. Nothing is fetched from a network, neither here nor by a reader."""

import logging
import os
import warnings
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from nbclient import NotebookClient

from metasci import Model, __version__

project = "metasci"
author = "metasci developers"
copyright = "metasci developers"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_build", "_templates", "examples", "jupyter_execute"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# tutorials are notebooks that run here; what one raises ends the build
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "notebooks")
nb_merge_streams = True
logging.getLogger("traitlets").setLevel(logging.WARNING)  # names every notebook that it runs
NotebookClient.extra_arguments.default_args = (
    ["--IPKernelApp.log_level=ERROR"],
)  # it warns of TCP, on loopback
# ArviZ tells whenever it is imported what is not installed, and that it will change
logging.getLogger("arviz.preview").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

html_theme = "furo"
html_title = f"metasci {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["versions.js"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_math_renderer = "mathml"

# a prompt is shown and not copied, nor is what was printed
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

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


def _math(translator, node):
    """Mathematics that the browser sets itself: no script, no font, no network."""
    displayed = isinstance(node, nodes.math_block)
    markup = convert(node.astext(), display="block" if displayed else "inline")
    translator.body.append(f'<div class="math">{markup}</div>' if displayed else markup)
    raise nodes.SkipNode


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
    app.add_html_math_renderer("mathml", (_math, None), (_math, None))
    app.connect("autodoc-process-docstring", _describe_model)
