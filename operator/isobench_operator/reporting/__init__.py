"""The HTML report of an output folder: one file that asks nothing of the network, made from status documents and artifacts alone.

Reading, wording and geometry live in modules of their own; the template only places what they computed. Everything that comes from a
repository, a model or a script is untrusted text and is escaped by the template engine; nothing in the page is executed.
"""

from .page import write_report

__all__ = ["write_report"]
