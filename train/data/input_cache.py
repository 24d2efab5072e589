"""Model inputs of a data set, decoded once: one memory-mapped array [N, S, S] uint8 for each input size.

The array is written under a temporary name and renamed when it is complete and on the disk, so a cache that is there is
whole. Its name holds a hash of everything that it depends on: the pictures' paths, sizes and times, and the input
specification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mura_batch.atomic_files import atomic_file, make_folder
from mura_batch.dicom.pixels.pixels_version import PIXELS_VERSION
from mura_batch.errors import InputError, RunnerError
from mura_batch.preprocess import InputSpec, preprocess
from mura_batch.progress import Advance, progress_bar
from train.data.examples import Dataset, Example

Pictures = NDArray[np.uint8]  # [N, S, S], possibly memory-mapped

CACHE_FIX = "free some space or give another --cache"
PARALLEL_FROM = 256  # pictures; below it, starting processes costs more than it saves


def model_inputs(dataset: Dataset, split: str, spec: InputSpec, cache: Path) -> Pictures:
    """[N, S, S] uint8 of a split, in the order of `dataset.split(split)`, with a progress bar where they are decoded.
    Raises InputError that names a picture that cannot be read, OutputError when the cache cannot be written."""
    examples = dataset.split(split)
    path = cache / f"{split}-{spec.size}-{fingerprint(dataset, examples, sorted(asdict(spec).items()))}.npy"
    if not path.is_file():
        with progress_bar(f"reading {split}", len(examples)) as advance:
            _write(path, _decoded(dataset, examples, spec), (len(examples), spec.size, spec.size), advance)
    array: Pictures = np.load(path, mmap_mode="r")
    return array


def read_picture(path: Path) -> NDArray[np.uint8]:
    """[H, W] uint8 display image of a PNG, JPEG or WebP. Raises InputError that names the file."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} cannot be read as a picture: {error}; repair it, or remove it and its label"
        ) from error


def unreadable_pictures(dataset: Dataset) -> Iterator[str]:
    """Opens every picture of both splits, with a progress bar; for each that cannot be read, a sentence that names it.
    DICOM files are decoded by mura_batch's workers, whose first failure ends the check."""
    spec = InputSpec(size=32)  # nothing is stored: the smallest input is the fastest
    with progress_bar("opening pictures", len(dataset.examples)) as advance:
        if dataset.kind == "dicom":
            for done, _ in enumerate(_decoded(dataset, dataset.examples, spec), start=1):
                advance(done, "")
            return
        for done, example in enumerate(dataset.examples, start=1):
            try:
                read_picture(dataset.root / example.image)
            except InputError as error:
                yield str(error)
            advance(done, "")


def _input_of(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    return preprocess(read_picture(path), spec)


def _decoded(dataset: Dataset, examples: Sequence[Example], spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    if dataset.kind == "dicom":
        from train.data.dicom_studies import decoded

        yield from decoded(dataset.root, examples, spec)
        return
    yield from in_processes(partial(_input_of, spec=spec), [dataset.root / e.image for e in examples])


def in_processes(read: Callable[[Path], NDArray[np.uint8]], paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """read(path) of each, in order, on all processors. Raises what `read` raises; RunnerError when a process is
    killed."""
    if len(paths) < PARALLEL_FROM:
        yield from map(read, paths)
        return
    try:
        # spawned, not forked: a fork would copy the locks of the training process's threads in whatever state they are
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            yield from pool.map(read, paths, chunksize=32)
    except BrokenProcessPool as error:
        raise RunnerError(
            "a process that reads pictures was killed, perhaps for want of memory: run the command again with more "
            "memory, or with fewer processes: taskset -c 0 COMMAND"
        ) from error


def fingerprint(dataset: Dataset, examples: Sequence[Example], how: object) -> str:
    """Of the pictures' paths, sizes and times, and of `how` they are read, by its repr. Raises InputError for a picture
    that does not exist."""
    digest = hashlib.sha256(repr((PIXELS_VERSION, how)).encode())
    for example in examples:
        path = dataset.root / example.image
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(f"{path} is in the labels and does not exist: {error.strerror}") from error
        digest.update(f"{example.image}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _write(path: Path, inputs: Iterator[NDArray[np.uint8]], shape: tuple[int, int, int], advance: Advance) -> None:
    make_folder(path.parent, CACHE_FIX)
    with atomic_file(path, CACHE_FIX) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for done, picture in enumerate(inputs, start=1):
            file.write(picture.tobytes())
            advance(done, "")


def evenly_spaced(inputs: Pictures, count: int) -> Pictures:
    """At most count of them, from all over: a data set may be sorted by region."""
    chosen = np.linspace(0, len(inputs) - 1, min(count, len(inputs))).round().astype(int)
    return np.array(inputs[chosen])
