"""Configuration of the documentation."""

from importlib.metadata import version as installed_version

project = "GravLensDiffusion"
author = "GravLensDiffusion maintainers"
copyright = author
version = release = installed_version("gravlensdiffusion")

extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
# Tables that a command wrote, which pages include.
exclude_patterns = ["_build", "benchmarks"]

html_theme = "furo"
html_title = f"GravLensDiffusion {release}"
html_copy_source = False
