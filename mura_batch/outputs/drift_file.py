"""drift.json: what was new in each night so far, and the control charts of it.

Each run's file holds the nights that the charts need: it takes those of the newest run and adds its own. Only counts
are kept, so that old runs may be removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from mura_batch.atomic_files import link_or_copy, output_errors
from mura_batch.errors import InputError
from mura_batch.outputs.file_names import DRIFT_NAME
from mura_batch.outputs.manifest import read_manifest
from mura_batch.outputs.new_tonight import NOT_STATED, NewTonight
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import flags_of, is_outlier
from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore
from mura_batch.store.run_folder import newest_run
from mura_batch.version import __version__


class DriftFile:
    """Counts what is new in the run: study rows with a new image, new images, files skipped for the first time, and
    studies that are missing for the first time."""

    def __init__(self, run: RunInfo) -> None:
        self._run = run
        self._new = NewTonight()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        new = [image for image in images if not image.reused]
        if not new or row.score is None:
            return
        self._new.counts["studies"] += 1
        self._new.counts["abnormal"] += bool(row.abnormal)
        self._new.total += row.score
        self._new.squares += row.score**2
        self._new.mixes["regions"][row.region] += 1
        for image in new:
            self._image(image)

    def _image(self, image: InstanceScore) -> None:
        instance, decisions = image.instance, image.decoded.decisions
        self._new.counts["images"] += 1
        self._new.counts["flagged"] += bool(flags_of(image))
        self._new.counts["inverted"] += decisions.polarity == "inverted"
        outlier = is_outlier(image, self._run.outlier_limit)
        self._new.counts["measured"] += outlier is not None
        self._new.counts["outliers"] += outlier is True
        device = " ".join(filter(None, (instance.manufacturer, instance.manufacturer_model)))
        self._new.mixes["windows"][decisions.voi] += 1
        self._new.mixes["devices"][device or NOT_STATED] += 1
        self._new.mixes["formats"][" ".join((instance.modality, instance.transfer_syntax, instance.photometric))] += 1

    def skip(self, skip: Skipped) -> None:
        pass

    def missing(self, study: MissingStudy) -> None:
        pass

    def finish(self, end: RunEnd) -> None:
        folder = self._run.folder
        newest = newest_run(folder.parents[1])
        if (
            newest is not None
            and not self._new.counts["images"]
            and not end.new_skipped
            and _says_it(newest, self._run, end)
        ):
            with output_errors(folder / DRIFT_NAME):
                link_or_copy(newest / DRIFT_NAME, folder / DRIFT_NAME)
            return
        from mura_batch.outputs.drift_history import add_night

        add_night(self._run, end, self._new, newest)


def _says_it(newest: Path, run: RunInfo, end: RunEnd) -> bool:
    """Whether the file of the newest run says what this run would say, which adds no night to it."""
    try:
        before = read_manifest(newest)
        written = hashlib.sha256((newest / DRIFT_NAME).read_bytes()).hexdigest()
    except (InputError, OSError):
        return False
    if (end.comparison is not None or before.agreement is not None) and before.content != end.content:
        return False  # kappa of the months may be another
    now = (__version__, run.disclosure.identifiers, end.missing, written)
    return (before.tool_version, before.identifiers, before.missing, before.files.get(DRIFT_NAME)) == now


def read_alarms(folder: Path) -> tuple[str, ...]:
    """The sentences that drift.json of a run ends with, without computing them again."""
    values = json.loads((folder / DRIFT_NAME).read_text(encoding="utf-8"))
    return tuple(values["alarms"])
