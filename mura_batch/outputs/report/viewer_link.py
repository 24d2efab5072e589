"""Links from the page to a site's image viewer, by a template such as https://viewer.example/study/{study_uid}."""

from __future__ import annotations

import re
from urllib.parse import quote

from mura_batch.records import StudyScore

_FIELDS = ("study_uid", "accession")


def check_viewer_url(template: str) -> str:
    """Returns the template. Raises ValueError that says what is wrong with it."""
    if not re.match(r"https?://[^/\s{]", template):
        raise ValueError("it must begin with https:// or http:// and a host")
    names = re.findall(r"\{([^{}]*)\}", template)
    if not names or set(names) - set(_FIELDS):
        raise ValueError(f"it must name {' or '.join(f'{{{name}}}' for name in _FIELDS)}, and nothing else in braces")
    return template


def viewer_link(template: str, row: StudyScore) -> str:
    """The template filled, percent-encoded; '' where the row lacks what it names."""
    link = template
    for name in _FIELDS:
        value = getattr(row, name)
        if f"{{{name}}}" in template and not value:
            return ""
        link = link.replace(f"{{{name}}}", quote(value, safe="", errors="surrogateescape"))
    return link
