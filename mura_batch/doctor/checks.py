"""`mura-batch doctor`: what this machine can do, what is missing, and how to fix it. Changes nothing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mura_batch.doctor.decoders import decoders
from mura_batch.errors import ModelError, OutputError
from mura_batch.model_card import Model, load_model
from mura_batch.runtime import registry
from mura_batch.runtime.backend import Check

OLDEST_PYTHON = (3, 11)  # as pyproject's requires-python
PACKAGES = ("click", "imagecodecs", "jinja2", "numpy", "openvino", "pandas", "pillow", "pydicom", "rich")
FULL = 200 << 20  # bytes free under OUT that a run of some thousand studies with its report can fill
SCARCE = 2 << 30


def examine(out: Path | None, model_folder: Path) -> tuple[Check, ...]:
    """Every check, in the order in which they are read. out: where `score` will write; None leaves that out."""
    return (
        python(),
        *packages(),
        *backends(model_folder, out / "cache" if out is not None else None),
        *decoders(),
        model(model_folder),
        *(output_folder(out) if out is not None else ()),
    )


def python() -> Check:
    detail = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", "fail", detail, "Install Python 3.11 or newer and mura-batch into it.")
    return Check("python", "ok", detail)


def packages() -> Iterator[Check]:
    """One line for those that are installed, one for each that is not."""
    versions = {name: _version(name) for name in PACKAGES}
    yield Check("packages", "ok", ", ".join(f"{name} {number}" for name, number in versions.items() if number))
    for name, number in versions.items():
        if not number:
            yield Check(
                f"package {name}", "fail", "is not installed", "Install mura-batch again: pip install mura-batch"
            )


def backends(model_folder: Path, cache_dir: Path | None) -> Iterator[Check]:
    """What each backend reports, the CPU's first. Lines that several backends share come once."""
    loaded = [registry.load(entry) for entry in reversed(registry.BACKENDS)]
    yield from dict.fromkeys(check for backend in loaded for check in backend.checks(model_folder, cache_dir))


def model(folder: Path) -> Check:
    try:
        loaded: Model = load_model(folder)
    except ModelError as error:
        return Check("model", "fail", str(error), "Copy the model folder again, or give another with --model.")
    card = loaded.card
    return Check(
        "model", "ok", f"{card.name} {card.version}, {loaded.hash[:12]}, {card.input.size} px, threshold "
        f"{card.threshold:g}; all {len(card.hashes)} hashes match"
    )  # fmt: skip


def output_folder(out: Path) -> Iterator[Check]:
    """Can it be written to, how full is its disk, who else can read it, and what does its file system lack?"""
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Check("out", "fail", f"{folder} cannot be written to", "Give another folder with --out, or its rights.")
        return
    yield Check("out", "ok", f"{out} {'can be written to' if folder == out else 'does not exist yet and can be made'}")
    yield disk(folder)
    if folder == out:
        yield privacy(out)
    yield from file_system(folder)


def disk(folder: Path) -> Check:
    import shutil

    free = shutil.disk_usage(folder).free
    status = "fail" if free < FULL else "warn" if free < SCARCE else "ok"
    fix = "" if status == "ok" else "Make room, or give a folder on another disk with --out."
    return Check("disk", status, f"{free / 2**30:.1f} GiB free", fix)


def privacy(out: Path) -> Check:
    """Whoever writes to it can lead a run elsewhere, so `score` refuses it. Results name studies: nobody else should
    read them."""
    from mura_batch.store.safe_folder import check_safe

    mode = out.stat().st_mode & 0o777
    try:
        files = check_safe(out)
    except OutputError as error:
        problem, _, fix = str(error).partition(": ")
        return Check("permissions", "fail", problem, f"{fix}.")
    if mode & 0o007:
        return Check(
            "permissions", "warn", f"mode {mode:o}: every user of this machine can enter", f"chmod o-rwx {out}"
        )
    if files:
        names = ", ".join(path.name for path in files)
        return Check("permissions", "warn", f"others may open {names}", "The next score corrects it.")
    return Check("permissions", "ok", f"mode {mode:o}")


def file_system(folder: Path) -> Iterator[Check]:
    """What network mounts may lack: locks, shared memory, symbolic links, flushing a folder."""
    from mura_batch.store.file_system import probe

    try:
        found = probe(folder)
    except (OSError, OutputError) as error:
        yield Check("file system", "fail", f"cannot be tried: {error}", "Give a folder on a local disk with --out.")
        return
    if found.locks:
        yield Check("lock", "ok", "can be locked")
    else:
        yield Check("lock", "fail", "has no locks", "Give a folder on a local disk with --out, or add --single-writer.")
    lacks = [
        words
        for is_there, words in (
            (found.shared_memory, "no shared memory: the ledger is open to one program at a time"),
            (found.links, "no symbolic links: latest.txt stands for latest"),
            (found.folder_flush, "folders cannot be flushed: a power cut may undo the last rename"),
        )
        if not is_there
    ]
    advice = "A local disk has all of it." if lacks else ""
    detail = "; ".join(lacks) or "shared memory, symbolic links, folders are flushed"
    yield Check("file system", "warn" if lacks else "ok", detail, advice)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
