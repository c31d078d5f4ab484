"""Configuration of the documentation."""

from importlib.metadata import version as installed_version

project = "GravLensDiffusion"
author = "GravLensDiffusion maintainers"
copyright = author
version = release = installed_version("gravlensdiffusion")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Tables that a command wrote, which pages include.
exclude_patterns = ["_build", "benchmarks"]

# Tutorials are run where their files are thrown away. A cell that fails fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = -1
nb_output_stderr = "remove"

autodoc_typehints = "none"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "GravLensDiffusion"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["brand.css"]
