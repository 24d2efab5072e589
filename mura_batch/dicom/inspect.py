"""Every decision about a file in plain words, and what a folder holds, without decoding it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.examiner import Examiner
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.errors import InputError, OutputError
from mura_batch.preprocess import InputSpec
from mura_batch.reasons import ADVICE
from mura_batch.records import Instance, Laterality, PixelDecisions, Region, RegionFinding, Skipped, SourceFile


def describe_folder(folder: Path, policy: IntakePolicy) -> Iterator[str]:
    """A line for each file, then the sums: what a run would score and skip, judged by headers alone."""
    fates: Counter[str] = Counter()
    for record in _records(folder, policy):
        if isinstance(record, Skipped):
            fates[f"skip ({record.reason})"] += 1
            yield f"skip   {record.reason:<28} {record.source.path}: {record.detail}"
        else:
            fates["score"] += 1
            finding = f"{record.region.source} {record.region.evidence}"
            yield f"score  {record.region.region:<28} {record.source.path}: {finding}"
    if not fates:
        raise InputError(f"no files under {folder}: is the export there, and the disk mounted?")
    yield ""
    for fate, count in sorted(fates.items()):
        yield f"{count:>7}  {fate}"


def _records(folder: Path, policy: IntakePolicy) -> Iterator[Instance | Skipped]:
    with Examiner(folder, policy) as examiner:
        for item in discover(folder, policy):
            yield item if isinstance(item, Skipped) else read_header(folder, item, policy, examiner.header)


def describe_file(path: Path, policy: IntakePolicy, spec: InputSpec, png: Path | None = None) -> Iterator[str]:
    """The decisions about one file, a line each. png: where to write the model input; it is written even for a file
    that a run would skip, if its pixels can be read. Raises InputError on a path that is no file, OutputError on a bad
    png."""
    info = path.stat()
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder")
    source = SourceFile(path.name, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    with Examiner(path.parent, policy) as examiner:
        record = read_header(path.parent, source, policy, examiner.header)
    with DecodePool(path.parent, policy, spec, 1) as pool:  # a hostile file may kill the process that decodes it
        (answer,) = pool.decode([stand_in(source) if isinstance(record, Skipped) else record])
    yield f"file              {path}"
    if isinstance(record, Skipped):
        yield from _skipped_lines(record)
    else:
        yield from _skipped_lines(answer) if isinstance(answer, Skipped) else ["a run would       score it"]
        yield from _instance_lines(record)
    if isinstance(answer, Skipped):
        yield f"pixels            {answer.reason}: {answer.detail}"
        return
    yield from _decision_lines(answer[0].decisions)
    if png is not None:
        _write_png(answer[1].tobytes(), spec.size, png)
        yield f"picture           {png}: what a model with {spec.size} px would see"


def stand_in(source: SourceFile) -> Instance:
    """For a file that a run skips: the worker reads its source only."""
    return Instance(
        source, "", "", "", "", "", "", "", "", RegionFinding(Region.UNKNOWN), Laterality.UNKNOWN, "", "", "", 0, 0, 0
    )


def _skipped_lines(skip: Skipped) -> Iterator[str]:
    yield f"a run would       skip it: {skip.reason} ({skip.detail})"
    yield f"what to do        {ADVICE[skip.reason]}"


def _instance_lines(i: Instance) -> Iterator[str]:
    finding = f"named by {i.region.source} {i.region.evidence!r}, confidence {i.region.confidence}"
    yield f"region            {i.region.region}, {finding}"
    if i.region.disagreement:
        yield f"  but also        {i.region.disagreement}"
    yield f"side              {i.laterality or 'unknown'}"
    yield f"image             {i.modality}, {i.rows} x {i.columns}, {i.bits_stored} bits, {i.photometric}"
    yield f"transfer syntax   {i.transfer_syntax}"
    for flag in i.flags:
        yield f"flag              {flag}"


def _decision_lines(d: PixelDecisions) -> Iterator[str]:
    window = f" center {d.window_center:g} width {d.window_width:g}" if d.window_center is not None else ""
    yield f"decoder           {d.decoder}, at 1/{d.reduction} of the size"
    yield f"modality          {d.modality_transform}"
    yield f"window            {d.voi}{window}"
    yield f"polarity          {d.polarity}: {d.polarity_reason}"
    yield f"pixel aspect      {d.pixel_aspect:g}"
    for flag in d.flags:
        yield f"flag              {flag}"


def _write_png(pixels: bytes, size: int, path: Path) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("L", (size, size), pixels).save(buffer, "PNG")
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})") from error
