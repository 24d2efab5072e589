"""What groups the cases beside region and side: the patient's sex and age, the device, and the view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mura_batch.records import InstanceScore, StudyScore, rounded

SEVERAL = "several"  # the images of one study row differ
LONGEST_NAME = 80  # characters: PS3.5 6.2 allows 64 for a manufacturer, and a hostile header's text may not end


@dataclass(frozen=True, slots=True)
class ImageTraits:
    """Of one scored image. sex, device, view: '' where the header does not say; age: in years."""

    sex: str
    age: int | None
    device: str
    view: str
    probability: float


@dataclass(frozen=True, slots=True)
class Traits:
    """Of a study row. sex, device: SEVERAL where its images differ. views: each with the mean probability of its
    images."""

    sex: str = ""
    age: int | None = None
    device: str = ""
    views: tuple[tuple[str, float], ...] = ()


class TraitBook:
    """Traits of the study rows that may have a label, by row_key. threshold: of the run, None before the first row."""

    def __init__(self) -> None:
        self.threshold: float | None = None
        self._of: dict[str, Traits] = {}

    def add(self, row: StudyScore, images: Sequence[ImageTraits]) -> None:
        """images: the scored ones of the row."""
        self.threshold = rounded(row.threshold)
        if images:
            self._of[row.row_key] = _traits(images)

    def of(self, row_key: str) -> Traits:
        return self._of.get(row_key, Traits())


def image_traits(score: InstanceScore) -> ImageTraits:
    instance = score.instance
    device = device_name(instance.manufacturer, instance.manufacturer_model)
    view, probability = instance.view_position[:LONGEST_NAME], rounded(score.probability)
    return ImageTraits(instance.sex, instance.age, device, view, probability)


def device_name(manufacturer: str, model: str) -> str:
    """Manufacturer and model in one, without what many devices write twice and with single spaces."""
    maker, words = manufacturer.split(), model.split()
    repeats = [word.casefold() for word in words[: len(maker)]] == [word.casefold() for word in maker]
    return " ".join(words if repeats else (*maker, *words))[:LONGEST_NAME]


def _traits(images: Sequence[ImageTraits]) -> Traits:
    probabilities: dict[str, list[float]] = {}
    for image in images:
        probabilities.setdefault(image.view, []).append(image.probability)
    return Traits(
        sex=_common(image.sex for image in images),
        age=next((image.age for image in images if image.age is not None), None),
        device=_common(image.device for image in images),
        views=tuple((view, sum(of) / len(of)) for view, of in probabilities.items()),
    )


def _common(values: Iterable[str]) -> str:
    """The one value, '' for none."""
    known = {value for value in values if value}
    return known.pop() if len(known) == 1 else SEVERAL if known else ""
