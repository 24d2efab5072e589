"""The page of a night without news: it links to the report that already says everything, and takes one disk block."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from mura_batch.atomic_files import write_atomic
from mura_batch.outputs.html import content_policy, html_environment
from mura_batch.outputs.manifest import RunManifest
from mura_batch.resources import templates_folder

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem}dd{margin:0;overflow-wrap:anywhere}"
)


def write_quiet_page(path: Path, manifest: RunManifest, report_of: str) -> None:
    """path: report.html of the run. report_of: name of the run whose report says the same, '' where it is gone. Raises
    OutputError."""
    environment = html_environment(templates_folder())
    environment.filters["count"] = "{:,}".format
    page = environment.get_template("quiet.html.j2").render(
        m=manifest,
        report_of=report_of,
        style=Markup(_STYLE),  # noqa: S704 - our own, and a style element knows no escapes
        policy=Markup(content_policy(_STYLE)),  # noqa: S704 - fixed words and a hash
    )
    write_atomic(path, page.encode("utf-8", "backslashreplace"))
