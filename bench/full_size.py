"""Full-size studies for the benchmarks: the same pictures in six transfer syntaxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from mura_batch.dicom import syntax
from mura_batch.dicom.write.radiograph import CR, write_radiograph
from mura_batch.phantom import PhantomOptions
from mura_batch.phantom.drawing import draw
from mura_batch.phantom.study_plan import plan_study, uid
from mura_batch.phantom.technique import Technique, stored_values, voi_of

SYNTAXES = {
    "native explicit": syntax.EXPLICIT_LE,
    "native implicit": syntax.IMPLICIT_LE,
    "JPEG 2000": syntax.JPEG_2000_LOSSLESS,
    "JPEG-LS": syntax.JPEG_LS_LOSSLESS,
    "JPEG lossless": syntax.JPEG_LOSSLESS_SV1,
    "RLE": syntax.RLE,
}
SIZES = ((2500, 2048), (2000, 1600))  # rows, columns: detectors of 43 x 35 cm at 0.17 and at 0.2 mm
BITS = 12
TECHNIQUE = Technique(CR, syntax.EXPLICIT_LE, BITS)  # one linear window, as most devices write
SEED = 11


def phantoms(count: int) -> Iterator[NDArray[np.uint16]]:
    """Drawings with the noise of a detector, [rows, columns] of BITS bits, the two sizes in turn."""
    options = PhantomOptions(seed=SEED)
    for number in range(count):
        image = plan_study(number, options).images[0]
        rows, columns = SIZES[number % len(SIZES)]
        exposure = replace(image.exposure, rows=rows, columns=columns)
        yield stored_values(draw(exposure), TECHNIQUE)


def write_enlarged(folder: Path, files: Sequence[Path]) -> None:
    """Real radiographs as `enlarged` makes them, each in one of the six syntaxes, in turn."""
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_write_enlarged, folder), range(len(files)), files))


def _write_enlarged(folder: Path, number: int, path: Path) -> None:
    _write(folder, number, list(SYNTAXES)[number % len(SYNTAXES)], enlarged(path, number))


def enlarged(path: Path, number: int, noise: float = 6.0) -> NDArray[np.uint16]:
    """A real radiograph enlarged to the detector's size, with a detector's noise (its standard deviation, in stored
    values): an enlarged picture alone is smoother than any radiograph."""
    with Image.open(path) as picture:
        grey = picture.convert("F")
    scale = SIZES[number % len(SIZES)][0] / max(grey.size)
    size = (round(grey.width * scale), round(grey.height * scale))
    large = np.asarray(grey.resize(size, Image.Resampling.BICUBIC), dtype=np.float64) * 15.0 + 120.0
    large += np.random.default_rng([SEED, number]).normal(0, noise, large.shape)
    return np.clip(np.rint(large), 0, (1 << BITS) - 1).astype(np.uint16)


def write_mix(folder: Path, pictures: Iterator[NDArray[np.uint16]]) -> dict[str, list[Path]]:
    """Files by syntax: each picture in all six."""
    files: dict[str, list[Path]] = {name: [] for name in SYNTAXES}
    with ThreadPoolExecutor() as pool:  # the encoders let go of the interpreter
        for number, stored in enumerate(pictures):
            written = pool.map(partial(_write, folder, number, stored=stored), files)
            for paths, path in zip(files.values(), written, strict=True):
                paths.append(path)
    return files


def _write(folder: Path, number: int, name: str, stored: NDArray[np.uint16]) -> Path:
    options = PhantomOptions(seed=SEED)
    study = plan_study(number, options)
    radiograph = study.images[0].radiograph
    header = replace(
        radiograph.header,
        study=replace(radiograph.header.study, study_uid=uid(options, number, name)),
        series_uid=uid(options, number, name, 1),
        sop_instance_uid=uid(options, number, name, 1, 1),
    )
    windows, _ = voi_of(replace(TECHNIQUE, sop_class=radiograph.sop_class))
    shown = replace(
        radiograph, header=header, bits_stored=BITS, photometric="MONOCHROME2", slope=1.0, intercept=0.0,
        windows=windows, table=None,
    )  # fmt: skip
    path = folder / name.replace(" ", "-").lower() / f"study{number:04d}" / "IM000001"
    path.parent.mkdir(parents=True, exist_ok=True)
    if SYNTAXES[name] != syntax.JPEG_LS_LOSSLESS:
        write_radiograph(path, shown, stored, SYNTAXES[name])
        return path
    write_radiograph(path, shown, stored, syntax.EXPLICIT_LE)
    data = dcmread(path)  # pydicom's encoder writes a precision of 12 bits
    data.compress(JPEGLSLossless, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    return path
