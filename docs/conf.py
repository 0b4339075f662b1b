"""Configuration of the documentation; README.md gives the command that builds it."""

import importlib
import inspect
import os
import re
import sys
import warnings
from pathlib import Path

from docutils import nodes
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # of an example, for -D plot_gallery=0

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # documents this copy, whichever is installed

import skae  # noqa: E402
from skae._support.parameters import GROUPS  # noqa: E402

project = "skae"
author = "The skae developers"
copyright = author
release = skae.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "images", "auto_examples/**/*.ipynb", "**/*.md5"]
templates_path = ["_templates"]
default_role = "py:obj"  # what stands in backquotes in docstrings is a name
show_warning_types = True

# Pages ----------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "skae"
html_static_path = ["_static"]
html_css_files = ["skae.css"]
html_show_copyright = False
html_show_sourcelink = False
html_sidebars = {
    page: []
    for page in ("index", "getting_started", "extending", "development", "whats_new")
}
html_theme_options = {
    "navbar_start": ["navbar-logo", "version"],
    "header_links_before_dropdown": 4,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["sphinx-version"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Reference ------------------------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's types say more
toc_object_entries_show_parents = "hide"  # of methods, whose class the page is about
numpydoc_show_class_members = False  # the template lists methods
numpydoc_xref_param_type = False
viewcode_follow_imported_members = True
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
# What displays look like, by the gallery: their pages begin with it.
autosummary_context = {
    "pictures": {
        "ReconstructionDisplay": ("reduction", "plot_inspection", "001"),
        "TopActivationDisplay": ("reduction", "plot_inspection", "002"),
        "FeatureDisplay": ("reduction", "plot_inspection", "003"),
        "PreferredInputDisplay": ("reduction", "plot_inspection", "004"),
        "LossCurveDisplay": ("reduction", "plot_inspection", "005"),
        "LatentDisplay": ("reduction", "plot_inspection", "006"),
        "SampleDisplay": ("reduction", "plot_inspection", "007"),
        "ImputationDisplay": ("reduction", "plot_inspection", "008"),
        "OutlierDisplay": ("tabular", "plot_anomalies", "001"),
        "TableDisplay": ("tabular", "plot_tables", "001"),
    }
}

# Gallery --------------------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_\w+\.py",
    "ignore_pattern": r"extending_\w+\.py",
    "subsection_order": [
        f"../examples/{part}"
        for part in ("reduction", "tabular", "images", "generation")
    ],
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "doc_module": ("skae",),
    "backreferences_dir": "api/generated/backreferences",
    "inspect_global_variables": False,
    "capture_repr": ("_repr_html_",),  # of data frames and estimators, no others
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib",),
    "min_reported_time": 60,
}
# Figures are drawn into files; a window would be asked for otherwise.
os.environ.setdefault("MPLBACKEND", "Agg")
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

# Other libraries' names, whose pages have regular addresses: no inventory has to be fetched ------------------
SKLEARN = "https://scikit-learn.org/stable"
ADDRESSES = {
    "sklearn": SKLEARN + "/modules/generated/{}.html",
    "matplotlib": "https://matplotlib.org/stable/api/_as_gen/{}.html",
    "torch": "https://docs.pytorch.org/docs/stable/generated/{}.html",
}


def link_elsewhere(app, env, node, contnode):
    """Resolve a reference to a class, function or method of another library."""
    target = node.get("reftarget", "")
    address = ADDRESSES.get(target.partition(".")[0])
    if address is None or "." not in target:
        return None
    if node.get("reftype") == "mod":
        address = SKLEARN + "/api/{}.html"
    return nodes.reference(
        "", "", contnode, internal=False, refuri=address.format(target)
    )


def unlink_labels(app, what, name, obj, options, lines):
    """Make plain text of links in scikit-learn's docstrings, which are inherited, and say whose they are."""
    if getattr(obj, "__module__", "").startswith("sklearn"):
        text = re.sub(r":(?:ref|term):`([^<`]+?)\s*<[^>`]+>`", r"\1", "\n".join(lines))
        text = re.sub(r":ref:`sphx_glr_\w+.py`", "scikit-learn's gallery", text)
        text = re.sub(r":(?:ref|term):`([^<`]+)`", r"\1", text)
        text = re.sub(
            r"\n *\.\. versionadded::.*(?:\n +\S.*)*", "", text
        )  # of scikit-learn
        text = re.sub(r"(?i)(?:the )?user guide\b", "scikit-learn's user guide", text)
        text = text.replace("out will prefixed", "out will be prefixed")
        lines[:] = text.replace("ndarray array of", "ndarray of").split("\n")


def keep_initials(app, what, name, obj, options, lines):
    """Escape the initial that a reference begins with, which would be read as the letter of a list."""
    lines[:] = [
        re.sub(r"^(\s*\.\. \[[\w-]+\] )(?=[A-Z]\. )", r"\1\\", line) for line in lines
    ]


def group_parameters(app, what, name, obj, options, lines):
    """Put headings between an estimator's own parameters and the groups of those that it shares."""
    if what != "class" or not hasattr(obj, "_parameter_names"):
        return
    found = [
        (i, re.match(r"( +)\*\*(\w+)\*\* : ", line)) for i, line in enumerate(lines)
    ]
    section = next(
        (i for i, line in enumerate(lines) if line.startswith(":Attributes")),
        len(lines),
    )
    entries = [
        (i, m[1], m[2])
        for i, m in found
        if m and i < section and m[2] in obj._parameter_names
    ]
    headings, before = [], None
    for i, indent, parameter in entries:
        group = GROUP_OF.get(parameter, "Of this estimator")
        if group != before:
            headings.append(
                (
                    i,
                    [
                        f"{indent}.. rubric:: {group}",
                        f"{indent}   :class: parameters",
                        "",
                    ],
                )
            )
        before = group
    groups = [heading[0] for _, heading in headings]
    if len(groups) == len(set(groups)):  # in order, as all autoencoders have them
        for i, heading in reversed(headings):
            lines[i:i] = heading


def defining_module(app, modname, attribute):
    """Name the module that holds the source of a public class or function."""
    obj = importlib.import_module(modname)
    owner, _, _ = attribute.partition(".")
    function = inspect.unwrap(getattr(obj, owner))
    return function.__module__ if inspect.isfunction(function) else _place_of(owner)


def _place_of(name):
    """Name the module that defines a class; classes of skae themselves say that they are in ``skae``."""
    defines = re.compile(rf"^class {name}\b", re.MULTILINE)
    for place, module in sorted(sys.modules.items()):
        knows = place.startswith("skae.") and hasattr(module, name)
        if knows and defines.search(Path(module.__file__).read_text(encoding="utf-8")):
            return place
    return None


def setup(app):
    app.connect(
        "autodoc-process-docstring", group_parameters, priority=900
    )  # after numpydoc
    app.connect("autodoc-process-docstring", keep_initials, priority=900)
    app.connect("viewcode-follow-imported", defining_module)
    app.connect("missing-reference", link_elsewhere)
    app.connect("autodoc-process-docstring", unlink_labels)
    return {"parallel_read_safe": True}
