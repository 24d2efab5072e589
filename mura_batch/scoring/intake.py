"""Folder -> ledger: every source file judged by its header, then conflicts of identity settled."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice

from mura_batch.dicom.header.headers_version import HEADERS_VERSION
from mura_batch.dicom.pixels.pixels_version import PIXELS_VERSION
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.examiner import Examiner
from mura_batch.errors import InputError, StrictError
from mura_batch.model_card import Model, sha256_of
from mura_batch.progress import Observer
from mura_batch.pseudonyms import Pseudonyms
from mura_batch.records import UNREADABLE, Instance, Reason, Skipped, SourceFile, Stage, skip_instance
from mura_batch.scoring.header_readers import HeaderReader, LocalHeaders
from mura_batch.scoring.storage import Storage
from mura_batch.scoring.studies import settle_patients, settle_same_sop
from mura_batch.store.copy_digests import CopyDigests
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.seen_files import Recall, SeenFiles
from mura_batch.version import __version__

# What `dicom.header` reads of the policy.
JUDGED_BY = ("regions", "score_unknown_region", "site_terms", "max_pixels", "max_file_bytes")


def intake_key(policy: IntakePolicy) -> str:
    """Names what the judgement of a header depends on; another version judges again. How long files must have settled
    and how their pixels are decoded are no part of it."""
    judged_by = {name: getattr(policy, name) for name in JUDGED_BY}
    return _digest({"policy": judged_by, "version": __version__, "headers": HEADERS_VERSION})


def score_key(model: Model, policy: IntakePolicy, precision: str) -> Key:
    """Names what a score depends on besides the file: the model, how pictures are made for it, and the arithmetic."""
    arithmetic = f"int8 {model.int8_hash}" if precision == "int8" else precision
    settings = {"input": asdict(model.card.input), "voi": policy.voi, "precision": arithmetic, "pixels": PIXELS_VERSION}
    if policy.voi_check:  # such scores come with those of other VOI transforms
        settings["voi_check"] = True
    return Key(model.hash, _digest(settings))


def scan(
    storage: Storage, policy: IntakePolicy, files: SeenFiles, observer: Observer, reader: HeaderReader | None = None
) -> int:
    """Judges every file of the storage that is new or changed; returns the number of source files found. reader: None
    for this process.

    Raises InputError where there is no file at all, or none but archives: an empty folder in a nightly job is a mount
    that failed.
    """
    reader = reader or LocalHeaders(storage, policy)
    found = storage.discover(policy)
    first = next(found, None)
    if first is None:
        raise InputError(f"no files under {storage}: is the export there, and the disk mounted?")
    intake, count = intake_key(policy), 0
    observer.begin("reading headers", None)
    for group in _batched(chain([first], found), reader.group):
        with files.intake((item for item in group if isinstance(item, SourceFile)), hold=True):
            unread = [source for item in group if (source := _unread(storage, item, intake, files)) is not None]
            for record in reader.read_headers(unread):
                # A file that could not be opened may be readable tomorrow, with the same size and time.
                opened = not (isinstance(record, Skipped) and record.reason is Reason.UNREADABLE_FILE)
                files.put_header(record, intake if opened else "")
        count += len(group)
        observer.advance(len(group))
    files.note_present()
    _refuse_archives(storage, count, files)
    return count


def _refuse_archives(storage: Storage, count: int, files: SeenFiles) -> None:
    """Raises InputError where nothing but archives, and perhaps other files that are no DICOM, lies under root."""
    if next(files.identities(), None) is not None:
        return
    reasons = Counter(skip.reason for skip in files.skipped_before_decoding())
    if (archives := reasons[Reason.ARCHIVE]) and archives + reasons[Reason.NOT_DICOM] == count:
        raise InputError(
            f"no DICOM file under {storage}, but {archives} archives: unpack them, they are not looked into"
        )


def _batched(items: Iterator[SourceFile | Skipped], size: int) -> Iterator[tuple[SourceFile | Skipped, ...]]:
    while group := tuple(islice(items, size)):  # itertools.batched is Python 3.12's
        yield group


def _unread(storage: Storage, item: SourceFile | Skipped, intake: str, files: SeenFiles) -> SourceFile | None:
    """The file where its header is to be read; else what is known of it is noted."""
    if isinstance(item, Skipped):
        if item.reason is not Reason.TOO_YOUNG or not files.is_as_read(item.source):
            files.put_header(item, "")  # what discovery skips, it judges anew every time
            return None
        item = item.source  # the settle time is for files that are still being written, not for those read before
    known = files.recall(item, intake)
    if known is Recall.TOUCHED and _has_same_content(storage, item, files):
        files.put_touched(item)
        return None
    return None if known is Recall.KNOWN else item


def _has_same_content(storage: Storage, source: SourceFile, files: SeenFiles) -> bool:
    """Whether a file of which only the change time is another holds what was scored."""
    content = files.content_hash(source)
    return content is not None and _hash_file(storage, source) == content


def strict_error(skip: Skipped, names: Pseudonyms) -> StrictError:
    """--strict: the error of an input that should have been readable; names makes the key of its file."""
    return StrictError(f"file {names.file(skip.source.path)}: {skip.reason}: {skip.detail} (--strict)")


def refuse_unreadable(files: SeenFiles, names: Pseudonyms) -> None:
    """--strict: raises StrictError at the first input that should have been readable, before time is spent on
    decoding."""
    for skip in files.skipped_before_decoding():
        if skip.reason in UNREADABLE:
            raise strict_error(skip, names)


def settle_identity(storage: Storage, policy: IntakePolicy, ledger: Ledger) -> None:
    """Duplicates, conflicts, and files that were only moved or written again since they were scored."""
    files = ledger.files
    files.clear_set_aside()
    with Examiner(storage.folder, policy) as examiner:
        digests = _Digests(storage, policy, examiner, ledger.copies)
        for copies in files.same_sop():
            hashed = _hashed(storage, copies, files)
            scored = frozenset(i.source.path for i, content in hashed if files.is_scored(content))
            files.set_aside(settle_same_sop(_compared(hashed, digests), ledger.names, scored))
    for instances in files.studies_of_two_patients():
        files.set_aside(settle_patients(instances))
    for instance in files.not_hashed_but_scored():
        _hashed(storage, [instance], files)


@dataclass(frozen=True, slots=True)
class _Digests:
    """What copies are compared by. A file is read for it once: the ledger remembers."""

    storage: Storage
    policy: IntakePolicy
    examiner: Examiner
    known: CopyDigests

    def data_set(self, instance: Instance, content: str) -> str:
        def read() -> str | None:
            from mura_batch.dicom.header.data_set_hash import hash_data_set

            with self.storage.at_hand(instance.source):
                return hash_data_set(self.storage.folder, instance.source, self.policy)

        return self.known.of(content, "data set", read)

    def picture(self, instance: Instance, content: str) -> str:
        """Of a copy, with the identity that it names."""

        def read() -> str | None:
            with self.storage.at_hand(instance.source):
                return self.examiner.picture(instance.source)

        picture = self.known.of(content, f"picture {PIXELS_VERSION} {self.policy.voi}", read)
        i = instance
        identity = (i.study_uid, i.series_uid, i.patient_key, i.region.region, i.laterality)
        return f"{picture} {identity}" if picture else ""


def _compared(copies: list[tuple[Instance, str]], digests: _Digests) -> list[tuple[Instance, str]]:
    """copies: of one SOP Instance UID, with the hashes of their files. Where these differ, equal texts for copies of
    equal data sets, else for those that name the same identity and show the same picture."""
    compared = copies
    for digest in (digests.data_set, digests.picture):
        if len({text for _, text in compared}) > 1:
            read = [digest(i, content) for i, content in copies]
            compared = [(i, new or old) for new, (i, old) in zip(read, compared, strict=True)]
    return compared


def _hashed(storage: Storage, instances: list[Instance], files: SeenFiles) -> list[tuple[Instance, str]]:
    """Content hashes, remembered in the ledger; a file that cannot be read any more is set aside."""
    known = [(i, files.content_hash(i.source) or _hash_file(storage, i.source)) for i in instances]
    gone = [i for i, content in known if not content]
    files.set_aside(
        skip_instance(i, Stage.STUDY, Reason.UNREADABLE_FILE, "the file went away while the run read it") for i in gone
    )
    readable = [(i, content) for i, content in known if content]
    files.put_content_hashes(readable)
    return readable


def _hash_file(storage: Storage, source: SourceFile) -> str:
    """SHA-256, hex; '' where the file cannot be read."""
    with storage.at_hand(source):
        try:
            return sha256_of(storage.folder / source.path)
        except OSError:
            return ""


def _digest(values: object) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
