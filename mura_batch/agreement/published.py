"""Published kappa figures, shown beside one's own. The paper's were measured on a hidden test set, the article's on
public images: a model evaluated on MURA's validation set, per image, is measured on the same images.

Paper: Rajpurkar et al., "MURA: Large Dataset for Abnormality Detection in Musculoskeletal Radiographs", arXiv
1712.06957, table 2: agreement per STUDY with the majority of three radiologists, on a hidden test set of 207 studies;
`model` is its ensemble of five DenseNet169, `radiologists` are three others. Its printed intervals are too narrow (the
official evaluation leaves out a square root: overall .700 to .710 should be about .608 to .803) and are not repeated.

Article: P. Guillou, "(2/2) Fastai, the new radiology tool" (fastai, DenseNet169 at 320 px): agreement per IMAGE on the
public validation set of 3,197 images. Per-image and per-study figures are not comparable either.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """Kappa of the paper's model, of its three radiologists in the paper's order, and of the article's model."""

    model: float
    radiologists: tuple[float, float, float]
    article: float


PAPER = "Rajpurkar et al., arXiv 1712.06957, table 2"
PAPER_STUDIES = 207
ARTICLE = "P. Guillou, (2/2) Fastai, the new radiology tool, DenseNet169 at 320 px"
ARTICLE_PICTURES = 3197  # MURA v1.1's whole validation set
KAPPA: dict[str, Published] = {
    "overall": Published(0.705, (0.731, 0.763, 0.778), 0.674),
    "elbow": Published(0.710, (0.850, 0.710, 0.719), 0.737),
    "finger": Published(0.389, (0.304, 0.403, 0.410), 0.561),
    "forearm": Published(0.737, (0.796, 0.802, 0.798), 0.741),
    "hand": Published(0.851, (0.661, 0.927, 0.789), 0.583),
    "humerus": Published(0.600, (0.867, 0.733, 0.933), 0.778),
    "shoulder": Published(0.729, (0.864, 0.791, 0.864), 0.641),
    "wrist": Published(0.931, (0.791, 0.931, 0.931), 0.711),
}
