# SPDX-License-Identifier: GPL-2.0
"""How Sphinx makes HTML of these documents: `make htmldocs`."""

from docutils import nodes
from sphinx.util import logging

project = "kvm-xen-rs"
copyright = "the kvm-xen-rs developers, GPL-2.0"

nitpicky = True
# A literal block is no Python, as Sphinx would have it.
highlight_language = "none"

html_theme = "alabaster"
html_theme_options = {
    "description": "KVM's Xen event channels in Rust, as a livepatch",
    "fixed_sidebar": True,
    "font_family": "sans-serif",
    "head_font_family": "sans-serif",
    "font_size": "16px",
    "page_width": "1200px",
    "sidebar_width": "220px",
    "show_powered_by": False,
}
html_show_sourcelink = False
html_copy_source = False


def link_documents(app, doctree, docname):
    """Has links to FILE.rst, which a forge follows as they are, lead to the page of that document.

    Any other link without a scheme leads nowhere in HTML, and is warned of.
    """
    for link in doctree.findall(nodes.reference):
        uri = link.get("refuri")
        if uri is None or link.get("internal") or ":" in uri:
            continue
        # Those in the clone's top directory are included by documents here of the same names.
        path = uri.removeprefix("../").removeprefix("Documentation/")
        name, is_document, rest = path.lower().partition(".rst")
        if is_document and name in app.env.found_docs:
            link["refuri"] = app.builder.get_relative_uri(docname, name) + rest
        else:
            message = "there is no document %r to link to"
            logging.getLogger(__name__).warning(message, uri, location=link)


def setup(app):
    app.connect("doctree-resolved", link_documents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
