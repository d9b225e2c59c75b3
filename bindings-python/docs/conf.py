"""How the reference is built: `make docs`."""

project = "distflow"
author = "distflow"
root_doc = "python-api"
extensions = ["sphinx.ext.autodoc", "sphinx_markdown_builder"]
html_theme = "alabaster"
html_show_copyright = False

# Every name must be one of this reference; these are, by another name.
nitpicky = True
nitpick_ignore = [
    ("py:class", "BrokerKeywords"),
    ("py:class", "CreateKeywords"),
    ("py:class", "DocumentOptions"),
    ("py:class", "NodeKeywords"),
    ("py:class", "PmdKeywords"),
    ("py:class", "distflow.Peer"),
    # Sessions and lists come from a manager; how they are made inside is nobody's concern.
    ("py:class", "distflow._distflow.NativeSession"),
    ("py:class", "distflow._distflow.NativeSessionList"),
    ("py:class", "os.PathLike"),
    ("py:data", "distflow.DOCUMENT_EVENTS"),
    ("py:data", "distflow.NODE_EVENTS"),
    ("py:data", "distflow.PMD_EVENTS"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"Payload": "distflow.types.Payload"}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

markdown_anchor_signatures = True
markdown_bullet = "-"
