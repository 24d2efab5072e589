"""What a header says of the patient: sex and age. Real headers break the rules; what is not clear is unknown."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache

from mura_batch.records import OLDEST_AGE, Sex

_AGE = re.compile(r"(\d{1,4}) ?([DWMY])", re.ASCII | re.IGNORECASE)  # PS3.5 6.2, VR AS: nnnD, nnnW, nnnM or nnnY
_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_HIGHEST = 125  # years; more is a typing error, or stands for "not known", as 999Y and a birth in 1900 do
_SEXES = {
    "F": Sex.FEMALE, "FEMALE": Sex.FEMALE, "M": Sex.MALE, "MALE": Sex.MALE, "O": Sex.OTHER, "OTHER": Sex.OTHER,
}  # fmt: skip


def sex_of(text: str) -> Sex:
    """Of Patient's Sex (0010,0040)."""
    return _SEXES.get(text.strip().upper(), Sex.UNKNOWN)


@lru_cache(maxsize=1024)  # the files of a study repeat it
def age_in_years(age: str, birth_date: str, study_date: str) -> int | None:
    """Completed years at the study, at most OLDEST_AGE; None where it is not known. By Patient's Age (0010,1010), and
    where that says nothing usable by Patient's Birth Date (0010,0030) and Study Date (0008,0020)."""
    years = _stated(age)
    if years is None:
        years = _elapsed(_day(birth_date), _day(study_date))
    return None if years is None else min(years, OLDEST_AGE)


def _stated(age: str) -> int | None:
    found = _AGE.fullmatch(age.strip())
    if found is None:
        return None
    years = int(int(found[1]) / _A_YEAR[found[2].upper()])
    return years if years <= _HIGHEST else None


def _elapsed(birth: date | None, study: date | None) -> int | None:
    if birth is None or study is None or birth > study:
        return None
    years = study.year - birth.year - ((study.month, study.day) < (birth.month, birth.day))
    return years if years <= _HIGHEST else None


def _day(text: str) -> date | None:
    """PS3.5 6.2, VR DA: YYYYMMDD, and YYYY.MM.DD of ACR-NEMA; None where it is no date."""
    digits = text.strip().replace(".", "")
    if not re.fullmatch(r"\d{8}", digits, re.ASCII):
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None
