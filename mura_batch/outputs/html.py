"""What every HTML page of the project shares, training's included: escaping, and a policy under which a page loads
nothing. The only importer of jinja2."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

__all__ = ["UndefinedError", "content_policy", "html_environment"]


def html_environment(templates: Path) -> Environment:
    """For the templates of a folder: every value is escaped unless it is Markup, and a name that is not there is an
    UndefinedError, not an empty text."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def content_policy(style: str) -> str:
    """Content-Security-Policy of a page that has style as its one <style> element, pictures as data URIs, and neither
    script nor network (W3C CSP Level 3: an inline style is allowed by its hash)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
