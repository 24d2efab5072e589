"""An archive by DICOMweb: STOW-RS, then QIDO-RS and WADO-RS (PS3.18)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mura_batch.dicom.write.result_files import content_differences, read_result
from mura_batch.errors import InputError
from mura_batch.outputs.send.archive import Answer, Sendable, UnreachableError
from mura_batch.regular_files import read_regular
from mura_batch.store.sends import SendStatus

if TYPE_CHECKING:
    import requests

_AT_ONCE = 8  # objects a request: about 10 MB of captures
_WHOLE = 1 << 31  # bytes: dicomweb-client 0.61 sends more than its chunk size from a generator, empty when retried
_SECONDS = 60.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504, 507})  # worth another try: PS3.18 8.5 and 10.5.3


def read_header_file(path: Path) -> dict[str, str]:
    """Lines 'Name: value', as curl takes them. Raises InputError."""
    try:
        lines = read_regular(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--header-file {path} cannot be read: {error}") from error
    headers = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if line.strip() and not (colon and name.strip()):
            raise InputError(f"--header-file {path}, line {number}: write 'Name: value'")
        if line.strip():
            headers[name.strip()] = value.strip()
    return headers


class WebArchive:
    """`outputs.send.archive.Archive` by DICOMweb."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        from dicomweb_client.api import DICOMwebClient

        if not url.startswith(("http://", "https://")):
            raise InputError(
                f"--stow {url}: give the URL of the DICOMweb root, as in https://pacs.example.org/dicom-web"
            )
        self.name = f"web:{url.rstrip('/')}"
        self._client = DICOMwebClient(
            url.rstrip("/"), headers=headers, timeout=_SECONDS, chunk_size=_WHOLE, permissive_uid=True
        )
        self._client.set_http_retry_params(retry=False)  # deliver retries, and keeps what it knows in between

    def send(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        for _, group in groupby(items, key=lambda item: item.study_uid):
            study = list(group)
            for start in range(0, len(study), _AT_ONCE):
                yield from self._store(study[start : start + _AT_ONCE])

    def verify(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        for item in items:
            yield self._compare(item)

    def _store(self, items: Sequence[Sendable]) -> list[Answer]:
        import requests

        try:
            answer = self._client.store_instances([read_result(item.path) for item in items])
        except requests.HTTPError as error:
            return [self._refusal(item, _code_of(error)) for item in items]
        except requests.exceptions.SSLError as error:
            raise UnreachableError(
                f"the certificate of {self.name} is not trusted: set REQUESTS_CA_BUNDLE to the certificates to trust"
            ) from error
        except requests.RequestException as error:
            detail = f"no answer ({type(error).__name__})"
            return [Answer(item, SendStatus.NOT_SENT, detail, again=True) for item in items]
        return [_stored(item, answer) for item in items]

    def _refusal(self, item: Sendable, code: int) -> Answer:
        """A request that was refused as a whole."""
        if code in {401, 403}:
            raise UnreachableError(f"{self.name} refuses us (HTTP {code}): give its credentials in a --header-file")
        if code == 404:
            raise UnreachableError(f"{self.name} has no DICOMweb there (HTTP 404): check the path of the URL")
        return Answer(item, SendStatus.REFUSED, f"HTTP {code}", again=code in _BUSY)

    def _compare(self, item: Sendable) -> Answer:
        import requests

        try:
            stored = self._client.retrieve_instance(item.study_uid, item.series_uid, item.sop_uid)
        except requests.HTTPError as error:
            code = _code_of(error)
            if code == 404:
                return Answer(item, SendStatus.MISSING, "WADO-RS finds no such instance")
            return self._look_up(item, f"WADO-RS: HTTP {code}")
        except (requests.RequestException, ValueError) as error:
            return self._look_up(item, f"WADO-RS: {type(error).__name__}")
        differing = content_differences(stored, item.path)
        if differing:
            return Answer(item, SendStatus.DIFFERENT, f"the stored object has another {', '.join(differing)}")
        return Answer(item, SendStatus.VERIFIED, "WADO-RS, same content")

    def _look_up(self, item: Sendable, why: str) -> Answer:
        """QIDO-RS: whether there is such an instance, not which one."""
        import requests

        try:
            found = self._client.search_for_instances(
                item.study_uid, item.series_uid, search_filters={"SOPInstanceUID": item.sop_uid}
            )
        except (requests.RequestException, ValueError):
            return Answer(item, SendStatus.ACCEPTED, f"{why}; QIDO-RS: no answer: it cannot be verified")
        if not found:
            return Answer(item, SendStatus.MISSING, "QIDO-RS finds no such instance")
        return Answer(item, SendStatus.PRESENT, f"QIDO-RS; {why}")


def _code_of(error: requests.HTTPError) -> int:
    return error.response.status_code if error.response is not None else 0


def _stored(item: Sendable, answer: Any) -> Answer:
    """PS3.18 10.5.3: each instance is in the one sequence or the other."""
    for failed in answer.get("FailedSOPSequence", []):
        if failed.ReferencedSOPInstanceUID == item.sop_uid:
            reason = int(failed.get("FailureReason", 0))
            return Answer(item, SendStatus.REFUSED, f"failure reason {reason:04X}", again=reason & 0xFF00 == 0xA700)
    taken = {reference.ReferencedSOPInstanceUID for reference in answer.get("ReferencedSOPSequence", [])}
    if item.sop_uid in taken:
        return Answer(item, SendStatus.ACCEPTED)
    return Answer(item, SendStatus.ACCEPTED, "the archive's answer does not name it")
