"""The page of `mura-batch compare`: figures of both runs, then the studies whose call changed, with pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from markupsafe import Markup

from mura_batch.atomic_files import atomic_writer, make_folder
from mura_batch.outputs.compare_runs import Changed, RunComparison
from mura_batch.outputs.html import content_policy, html_environment
from mura_batch.outputs.manifest import RunManifest
from mura_batch.outputs.report.collect import Picture
from mura_batch.outputs.report.numbers import estimate, number
from mura_batch.outputs.report.page import PICTURE_BYTES, SIDES, Drawn, Pictures
from mura_batch.resources import templates_folder
from mura_batch.store.key import Key
from mura_batch.store.pictures import stored_pictures
from mura_batch.version import DISCLAIMER, __version__

LISTED_CHANGES = 500  # rows of the table of changed studies; all are in --json


class _BothPictures:
    """Of each image its picture under the map of either run; the page's limit is shared."""

    def __init__(self, first: Pictures, second: Pictures) -> None:
        self._first, self._second = first, second

    @property
    def end_here(self) -> bool:
        return self._first.end_here or self._second.end_here

    def of(self, changed: Changed) -> Iterator[tuple[Drawn, Drawn]]:
        for content, first, second in changed.images:
            one = self._first.draw(Picture(content, first, "", "", ""))
            other = self._second.draw(Picture(content, second, "", "", ""))
            if one is not None and other is not None:
                yield one, other


def write_compare_page(path: Path, comparison: RunComparison, first: Path, second: Path) -> None:
    """first, second: the folders of the runs, whose OUT holds the pictures. Raises OutputError where the page cannot be
    written."""
    environment = html_environment(templates_folder())
    environment.filters.update(estimate=estimate, number=number, side=SIDES.__getitem__, count="{:,}".format)
    style = "".join((templates_folder() / name).read_text(encoding="utf-8") for name in ("report.css", "compare.css"))
    make_folder(path.parent)
    with ExitStack() as stack:
        reads = [
            stack.enter_context(stored_pictures(folder.resolve().parent.parent, _key(manifest)))
            for folder, manifest in ((first, comparison.first), (second, comparison.second))
        ]
        file = stack.enter_context(atomic_writer(path))
        pieces = environment.get_template("compare.html.j2").generate(
            c=comparison,
            listed=comparison.changed[:LISTED_CHANGES],
            pictures=_BothPictures(*(Pictures(read, PICTURE_BYTES // 2) for read in reads)),
            style=Markup(style),  # noqa: S704 - our own files, and a style element knows no escapes
            policy=Markup(content_policy(style)),  # noqa: S704 - fixed words and a hash
            version=__version__,
            disclaimer=DISCLAIMER,
        )
        for piece in pieces:
            file.write(piece)


def _key(manifest: RunManifest) -> Key:
    return Key(str(manifest.model["hash"]), manifest.settings_hash)
