"""What every output implements. A run feeds all its outputs in one pass, in flat memory; `registry` lists them.

with open_sinks(run, formats) as sink:
    sink.study(row, images)   # for each row of a study, in the order of studies and rows
    sink.skip(skip)           # for each file without a score, at any time
    sink.missing(study)       # for each known study of which the run sees no file, at any time
    sink.finish(end)          # once, after the last row: the output is complete
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore

if TYPE_CHECKING:
    from mura_batch.agreement.comparison import Comparison
    from mura_batch.agreement.truth_file import Truth
    from mura_batch.model_card import Model
    from mura_batch.outputs.disclosure import Disclosure
    from mura_batch.store.pictures import ReadPicture


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run before its first row.

    folder: where outputs write; it has a hidden name until the whole run is published. name: of the folder once it is
    published. started: UTC. studies: the folder that paths of source files are relative to. options: as given, for the
    manifest. settings_hash: names what a score depends on besides file and model. runner: the fields of
    runtime.runner.RunnerInfo. truth: given on the command line, else that of the ledger; as disclosed. read_picture:
    the thumbnail of a content hash. disclosure: what rows and skips have passed through; it makes the keys that stand
    beside them. previous: folder of the run that was published last, None for the first run of an OUT.
    outlier_limit: an image at a greater distance is an outlier; None where the model has no statistics.
    """

    folder: Path
    name: str
    started: datetime
    studies: Path
    options: dict[str, str]
    settings_hash: str
    model: Model
    runner: dict[str, str | float | None]
    read_picture: ReadPicture
    disclosure: Disclosure
    truth: Truth | None = None
    previous: Path | None = None
    outlier_limit: float | None = None


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What is known of a run after its last row; the counts were checked against each other.

    finished: UTC, ISO 8601. counts: 'found', 'scored', 'unchanged' and 'skipped', in source files. skipped_by_reason:
    'stage/reason' -> files. studies_by_status: status -> study rows. seconds: part -> 'busy' and 'waiting'. comparison:
    with the truth, None where none was given. missing: known studies of which this run sees no file. breached_limits: a
    line each. earlier_model_rows: study rows that keep the score of an earlier model. new_skipped: of
    skipped_by_reason, those that no earlier run met. new_studies: study `rows` with an image that no earlier run
    reported, and how many of them are `abnormal`. content: hash over what the report says, equal in nights without
    news. report_of: name of the earlier run whose report says the same, '' where this run needs one of its own.
    """

    finished: str
    counts: dict[str, int]
    skipped_by_reason: dict[str, int]
    studies_by_status: dict[str, int]
    seconds: dict[str, dict[str, float]]
    exit_code: int
    comparison: Comparison | None = None
    missing: int = 0
    breached_limits: tuple[str, ...] = ()
    earlier_model_rows: int = 0
    new_skipped: dict[str, int] = field(default_factory=dict)
    new_studies: dict[str, int] = field(default_factory=dict)
    content: str = ""
    report_of: str = ""


class Sink(Protocol):
    """One output of a run. Every method raises OutputError where it cannot write; the run then publishes nothing."""

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        """A row of studies.csv and the images that its score is the mean of. An image belongs to exactly one row; a row
        without a score has none. row.row_key names the row in every output."""
        ...

    def skip(self, skip: Skipped) -> None:
        """A file without a score."""
        ...

    def missing(self, study: MissingStudy) -> None:
        """A known study of which the run sees no file."""
        ...

    def finish(self, end: RunEnd) -> None:
        """Every row was given: write what is still open."""
        ...


class EndSink:
    """Base of an output that is written in `finish` alone and needs no row."""

    def __init__(self, run: RunInfo) -> None:
        self._run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        pass

    def skip(self, skip: Skipped) -> None:
        pass

    def missing(self, study: MissingStudy) -> None:
        pass


# Opens an output for one run. Leaving its block by an exception leaves nothing of the output behind.
OpenSink = Callable[[RunInfo], AbstractContextManager[Sink]]
