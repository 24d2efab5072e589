"""What evaluate and predict say of a model: figures, the page, the competition's file."""

from __future__ import annotations

import base64
import io
import json
import re
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mura_batch.agreement.kappa import DIRICHLET, DIRICHLET_CLUSTERED, ONE_CLASS, clustered_kappa_score
from mura_batch.agreement.published import ARTICLE_PICTURES, KAPPA
from mura_batch.errors import OutputError
from mura_batch.preprocess import InputSpec
from train.data.examples import TRAIN, VAL, Dataset, Example, studies_of
from train.data.mura import KNOWN_PICTURES
from train.measure.competition import predict
from train.measure.evaluate import Evaluation, evaluate, overlay
from train.measure.evaluation_page import page, write_evaluation
from train.measure.figures import FEWEST, figures, picture_figures
from train.measure.predictor import Pictures, Predictor, Scored

Command = Callable[..., subprocess.CompletedProcess[str]]
Row = tuple[str, str, int, float]  # study, region, label, probability of a picture
SIDE = 32


def examples_of(rows: Sequence[Row], split: str = VAL) -> tuple[Example, ...]:
    """A picture a row, each study a patient of its own."""
    return tuple(
        Example(f"{study}/image{n}.png", split, study, study, region, bool(label))
        for n, (study, region, label, _) in enumerate(rows)
    )


def evaluated(rows: Sequence[Row], kind: str = "labels", split: str = VAL, threshold: float = 0.5) -> Evaluation:
    """As if a model had said these probabilities: each picture carries its number."""
    said = np.array([row[3] for row in rows])
    inputs = np.zeros((len(rows), SIDE, SIDE), np.uint8)
    inputs[:, 0, 0], inputs[:, 0, 1] = np.divmod(np.arange(len(rows)), 256)

    def score(inputs: Pictures) -> Scored:
        return said[256 * inputs[:, 0, 0].astype(int) + inputs[:, 0, 1]], np.zeros((len(inputs), 2, 2), np.float32)

    dataset = Dataset(Path("nowhere"), kind, examples_of(rows, split))
    return evaluate(Predictor("said", InputSpec(SIDE), threshold, score), dataset, split, inputs, flips=False)


def table_below(html: str, heading: str) -> list[list[str]]:
    """Cells of the first table behind that text, with its head."""
    table = html[html.index(heading) + len(heading) :].split("</table>", 1)[0]
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]


# 30 studies: right 25 times; 3 of 15 normal called abnormal, 2 of 15 abnormal called normal, at the threshold itself
HANDS: list[Row] = [(f"n{k}", "hand", 0, 0.8 if k < 3 else 0.2) for k in range(15)] + [
    (f"a{k}", "hand", 1, 0.5 if k < 2 else 0.7) for k in range(15)
]


# one more abnormal study: its mean is above .5, of its pictures only one is
MIXED: list[Row] = [*HANDS, ("many", "hand", 1, 0.4), ("many", "hand", 1, 0.4), ("many", "hand", 1, 0.9)]


def test_decisions_are_counted_by_truth_and_call() -> None:
    studies = evaluated(HANDS).figures["studies"]
    assert studies["table"] == [[12, 3], [2, 13]]
    assert studies["sensitivity"]["value"] == pytest.approx(13 / 15, abs=1e-4)
    assert studies["specificity"]["value"] == pytest.approx(12 / 15, abs=1e-4)
    assert studies["accuracy"]["value"] == pytest.approx(25 / 30, abs=1e-4)


def test_studies_are_decided_by_mean_and_pictures_individually() -> None:
    found = evaluated(MIXED)
    assert found.figures["studies"]["table"] == [[12, 3], [2, 14]]
    assert found.figures["pictures"]["table"] == [[12, 3], [4, 14]]
    decisions = page(found).split("<h2>Decisions</h2>", 1)[1]
    assert table_below(decisions, "") == [
        ["studies: truth", "called normal", "called abnormal"], ["normal", "12", "3"], ["abnormal", "2", "14"],
    ]  # fmt: skip
    assert table_below(decisions, "</table>") == [
        ["pictures: truth", "called normal", "called abnormal"], ["normal", "12", "3"], ["abnormal", "4", "14"],
    ]  # fmt: skip


def test_figures_of_a_region_are_of_its_own_pictures() -> None:
    wrists: list[Row] = [(f"w{k}", "wrist", k % 2, 0.9 if k % 2 else 0.1) for k in range(12)]
    both: list[Row] = [("both", "hand+wrist", 1, 0.1)]
    regions = evaluated([*HANDS, *wrists, *both]).figures["pictures"]["by_region"]
    assert regions["hand"]["table"] == [[12, 3], [3, 13]]
    assert regions["wrist"]["table"] == [[6, 0], [1, 6]], "a picture of two regions counts for both"


def whole_mura_val() -> list[Row]:
    """The counts of MURA's validation set, three pictures a study; said right four times in five."""
    rng = np.random.default_rng(5)
    counts = KNOWN_PICTURES[VAL].items()
    labels = [(region, label) for region, of in counts for label in (0, 1) for _ in range(of[label])]
    wrong = rng.random(len(labels)) < 0.2
    said = 0.2 + 0.6 * np.logical_xor([label for _, label in labels], wrong) + rng.uniform(-0.1, 0.1, len(labels))
    return [(f"{r}{label}/{n // 3}", r, label, float(said[n])) for n, (r, label) in enumerate(labels)]


def test_muras_validation_set_is_called_comparable_with_the_article() -> None:
    rows = whole_mura_val()
    assert len(rows) == ARTICLE_PICTURES
    html = page(evaluated(rows, kind="mura"))
    assert "are of the same pictures" in html
    assert "None of them" not in html
    assert "The test set is of other studies" in html


@pytest.mark.parametrize(("kind", "split"), [("labels", VAL), ("dicom", VAL), ("mura", TRAIN)])
def test_no_published_kappa_is_called_comparable_on_other_data(kind: str, split: str) -> None:
    html = page(evaluated(HANDS, kind, split))
    assert "None of them is measured on the data of this page" in html
    assert "same pictures" not in html


def test_part_of_the_validation_set_is_not_called_comparable() -> None:
    html = page(evaluated(HANDS, kind="mura"))
    assert "only 30 pictures of that validation set" in html
    assert "same pictures" not in html


def test_this_models_kappa_per_picture_stands_beside_the_articles() -> None:
    found = evaluated(MIXED)
    head, *rows = table_below(page(found), "<h2>Beside published kappas</h2>")
    assert head[-2:] == ["this model, per picture", "article, per picture"]
    hand = dict(zip(head, next(row for row in rows if row[0] == "hand"), strict=True))
    kappas = {by: found.figures[by]["by_region"]["hand"]["kappa"] for by in ("studies", "pictures")}
    assert kappas["studies"]["value"] != kappas["pictures"]["value"]
    assert hand["this model, per study"].startswith(f"{kappas['studies']['value']:.3f} [")
    assert hand["this model, per picture"].startswith(f"{kappas['pictures']['value']:.3f} [")
    assert hand["article, per picture"] == "0.583", "hand in the article's table, 320 px"
    elbow = next(row for row in rows if row[0] == "elbow")
    assert (elbow[1], elbow[-2]) == ("–", "–"), "a region that this data does not have"


def test_marks_of_the_chart_stand_at_their_kappas() -> None:
    found = evaluated([(study, "elbow", label, said) for study, _, label, said in MIXED])
    html = page(found)
    chart = html[html.index('<svg viewBox="0 0 640') :].split("</svg>", 1)[0] + "</svg>"
    elements = list(ElementTree.fromstring(chart))
    start = next(n for n, e in enumerate(elements) if e.text == "elbow")
    bar, interval, readers, paper, picture_interval, dot, ring = elements[start + 1 : start + 8]
    studies, pictures = (found.figures[by]["by_region"]["elbow"]["kappa"] for by in ("studies", "pictures"))
    known = KAPPA["elbow"]

    def at(value: float) -> float:  # the axis: 0 at 90, 1 at 620
        return pytest.approx(90 + 530 * value, abs=0.1)

    assert [float(e.get("x1", 0)) for e in elements if e.tag == "line"] == [at(v) for v in (0, 0.25, 0.5, 0.75, 1)]
    assert float(bar.get("x", 0)) + float(bar.get("width", 0)) == at(studies["value"])
    assert ends_of(interval) == (at(studies["low"]), at(studies["high"]))
    assert ends_of(readers) == (at(min(known.radiologists)), at(max(known.radiologists)))
    assert float(re.findall(r"[\d.]+", paper.get("d", ""))[0]) == at(known.model)
    assert ends_of(picture_interval) == (at(pictures["low"]), at(pictures["high"]))
    assert float(dot.get("cx", 0)) == at(pictures["value"])
    assert float(ring.get("cx", 0)) == at(known.article)


def ends_of(path: ElementTree.Element) -> tuple[float, float]:
    """Of a level line 'Mx yHx'."""
    low, _, high = re.findall(r"[\d.]+", path.get("d", ""))
    return float(low), float(high)


@pytest.mark.parametrize(("studies", "method"), [(1, DIRICHLET), (3, DIRICHLET_CLUSTERED)])
def test_the_kappa_interval_equals_the_clustered_one_of_reports(studies: int, method: str) -> None:
    labels = [n % 2 for n in range(120)]
    said = np.array([0.9 if label != (n % 7 == 0) else 0.1 for n, label in enumerate(labels)])
    patients = [f"p{n // studies}" for n in range(120)]
    examples = [Example(f"{n}.png", VAL, f"s{n}", patients[n], "hand", bool(labels[n])) for n in range(120)]
    found = figures(studies_of(examples), said, 0.5, VAL)
    report = clustered_kappa_score(labels, (said > 0.5).astype(int).tolist(), patients)
    for kappa in (found["kappa"], found["by_region"]["hand"]["kappa"], found["kappa_threshold_held_out"]):
        assert kappa["method"] == method
    assert (found["kappa"]["low"], found["kappa"]["high"]) == (round(report.low, 4), round(report.high, 4))


def test_pictures_of_one_study_are_never_taken_for_independent() -> None:
    rows = [row for row in HANDS for _ in range(4)]
    examples, said = examples_of(rows), np.array([row[3] for row in rows])
    kappa = picture_figures(examples, said, 0.5, VAL)["kappa"]
    hands = [(label, int(score > 0.5), study) for study, _, label, score in HANDS]
    once = clustered_kappa_score(*zip(*hands, strict=True))
    assert kappa["n"] == 120
    assert kappa["method"] == DIRICHLET_CLUSTERED
    assert (kappa["low"], kappa["high"]) == pytest.approx((once.low, once.high), abs=0.05), "four count as one"
    apart = [Example(e.image, e.split, e.study, e.image, e.region, e.abnormal) for e in examples]
    assert picture_figures(apart, said, 0.5, VAL)["kappa"] == kappa, "whatever group each picture is said to be of"


def test_complete_agreement_has_an_interval() -> None:
    kappa = evaluated([(f"s{k}", "hand", k % 2, float(k % 2)) for k in range(40)]).figures["studies"]["kappa"]
    assert (kappa["value"], kappa["high"], kappa["method"]) == (1, 1, DIRICHLET)
    assert kappa["low"] < 1


def test_a_figure_that_is_undefined_says_why() -> None:
    found = evaluated([(f"s{k}", "hand", 0, k / 100) for k in range(30)])
    kappa = found.figures["studies"]["kappa"]
    assert (kappa["value"], kappa["low"], kappa["reason"]) == (None, None, ONE_CLASS)
    assert f"kappa of all: {ONE_CLASS}." in page(found)


def test_a_region_of_few_studies_is_named_without_figures() -> None:
    few = FEWEST - 1  # of each label; with three pictures each, pictures enough
    rare: list[Row] = [(f"w{k // 3}", "wrist", k // 3 % 2, 0.5) for k in range(2 * few * 3)]
    found = evaluated([*HANDS, *rare])
    for by in ("studies", "pictures"):
        assert set(found.figures[by]["by_region"]) == {"hand"}
        assert found.figures[by]["regions_left_out"] == {"wrist": {"normal": few, "abnormal": few}}
    assert page(found).count(f"wrist ({few} normal, {few} abnormal)") == 2


def test_page_and_json_list_the_worst_predictions_first() -> None:
    rows: list[Row] = [(f"s{k}", "hand", k % 2, k / 20) for k in range(20)]
    found = evaluated(rows)
    # odd ones are abnormal: .05 was said of s1, .15 of s3, ...; even ones are normal: .90 was said of s18, ...
    order = ["s1", "s18", "s3", "s16", "s5", "s14", "s7", "s12", "s9"]
    worst = found.figures["worst"]
    assert [one["image"].split("/")[0] for one in worst] == order
    assert worst[0] == {"image": "s1/image1.png", "region": "hand", "label": 1, "probability": 0.05}
    assert worst[1] == {"image": "s18/image18.png", "region": "hand", "label": 0, "probability": 0.9}
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page(found))
    assert captions[:2] == [
        "hand: labelled abnormal, probability 0.050; s1/image1.png",
        "hand: labelled normal, probability 0.900; s18/image18.png",
    ]
    assert [caption.split("; ")[1].split("/")[0] for caption in captions] == order


def test_the_overlay_colours_only_where_the_map_is_positive() -> None:
    cam = np.full((4, 4), -3, np.float32)
    cam[0, 3] = 6
    uri = overlay(np.full((64, 64), 120, np.uint8), cam)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))), np.int64)
    coloured = np.ptp(shown, axis=-1) > 20
    assert coloured[8, 56], "the middle of the upper right cell"
    assert not coloured[:, :32].any()
    assert not coloured[32:].any()
    assert (shown[32:] == 120).all(), "grey as it was"


def test_the_page_shows_whether_probabilities_are_calibrated() -> None:
    found = evaluated(HANDS)
    calibration = found.figures["calibration"]
    html = page(found)
    slope = calibration["slope"]
    assert f"{slope['value']:.3f} [{slope['low']:.3f}, {slope['high']:.3f}]" in html
    assert html.count('r="3.5"') == len(calibration["reliability"]) == 10
    assert "Brier score: mean square by patient" in html


def left_half(inputs: Pictures) -> Scored:
    """A model that is not symmetric: the mean of the left half; its map is the picture."""
    return inputs[:, :, : SIDE // 2].mean(axis=(1, 2)) / 255, inputs.astype(np.float32)


def test_flips_average_both_images_and_mirror_the_map_back() -> None:
    inputs = np.zeros((2, SIDE, SIDE), np.uint8)
    inputs[0, :, : SIDE // 2] = 255
    inputs[1, 2, -2] = 100
    predictor = Predictor("left", InputSpec(SIDE), 0.5, left_half)
    assert predictor.run(inputs)[0].tolist() == [1, 0]
    probability, cam = predictor.run(inputs, flips=True)
    assert probability.tolist() == pytest.approx([0.5, 100 / 255 / (SIDE * SIDE // 2) / 2])
    assert np.array_equal(cam, inputs), "both maps are the picture as it lies"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_evaluation_as_it_was(tmp_path: Path) -> None:
    found = evaluated(HANDS)
    write_evaluation(found, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"evaluation.json", "evaluation.html"}
    for size, name in ((100, "evaluation.json"), (len(before["evaluation.json"]), "evaluation.html")):
        with files_of_at_most(size), pytest.raises(OutputError, match=f"{tmp_path / name} cannot be written"):
            write_evaluation(found, tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=f"{tmp_path / 'file'} cannot be written.*--out"):
        write_evaluation(evaluated(HANDS), tmp_path / "file")


def test_a_picture_name_that_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    write_evaluation(evaluated([*HANDS, ("\udcff", "hand", 1, 0.0)]), tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text())["worst"][0]["image"] == "\udcff/image30.png"
    assert "\\udcff/image30.png" in (tmp_path / "evaluation.html").read_text()


def test_evaluate_writes_a_page_and_figures(
    here: Command, exported: Path, mura: Path, cache: Path, tmp_path: Path
) -> None:
    done = here("evaluate", exported, "--data", mura, "--cache", cache, "--out", tmp_path, "--flips")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert (found["studies"]["kappa"]["n"], found["pictures"]["kappa"]["n"]) == (30, 42)
    assert sum(map(sum, found["studies"]["table"])) == 30
    assert set(found["pictures"]["by_region"]) == {"elbow", "hand", "wrist"}
    assert found["data_kind"] == "mura"
    html = (tmp_path / "evaluation.html").read_text()
    assert html.count("<figure>") == len(found["worst"]) == 9
    assert "default-src 'none'" in html
    assert "http://" not in html
    assert "https://" not in html
    assert "0.778" in html, "the third radiologist's overall kappa in the MURA paper"


def test_checkpoints_evaluate_as_their_model_folder_does(
    here: Command, finished: Path, exported: Path, mura: Path, cache: Path, tmp_path: Path
) -> None:
    model = ["evaluate", "--data", mura, "--cache", cache]
    assert here(*model, "--out", tmp_path / "a", exported).returncode == 0
    assert here(*model, "--out", tmp_path / "b", finished / "final.pt").returncode == 0
    a, b = (json.loads((tmp_path / n / "evaluation.json").read_text()) for n in "ab")
    assert a["studies"]["auroc"]["value"] == pytest.approx(b["studies"]["auroc"]["value"], abs=0.01)
    assert b["threshold"] == 0.5


def brightness(threshold: float) -> Predictor:
    """A model that says how bright a picture is."""

    def score(inputs: Pictures) -> Scored:
        return inputs.mean(axis=(1, 2)) / 255, np.zeros((len(inputs), 1, 1), np.float32)

    return Predictor("brightness", InputSpec(32), threshold, score)


def listed(root: Path, pictures: Sequence[tuple[str, int]], header: str = "") -> Path:
    """A list of pictures, each of one grey level, which are drawn too. Returns the list."""
    paths = [f"MURA-v1.1/valid/{path}" for path, _ in pictures]
    for path, (_, level) in zip(paths, pictures, strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        grey: NDArray[np.uint8] = np.full((40, 40), level, np.uint8)
        Image.fromarray(grey).save(root / path)
    (root / "valid_image_paths.csv").write_text(header + "".join(f"{path}\n" for path in paths))
    return root / "valid_image_paths.csv"


@pytest.mark.parametrize("header", ["", "image_path\n"], ids=["as released", "with header"])
def test_predict_writes_a_row_per_study_from_its_mean(header: str, tmp_path: Path) -> None:
    """The format is that of the competition: no header, `study_path/,label`. At .4, which is 102 of 255:"""
    mean_above, mean_below, level = (
        f"XR_{name}/study1_positive" for name in ("WRIST/patient2", "HAND/patient1", "ELBOW/patient3")
    )
    pictures = [
        (f"{mean_above}/image1.png", 230),  # .90, .20 and .20: most are below, the mean is .43
        (f"{mean_below}/image1.png", 0),  # 0, .41 and .41: most are above, the mean is .27
        (f"{mean_below}/image2.png", 105),
        (f"{mean_above}/image2.png", 51),  # its study came first, its picture comes later
        (f"{mean_above}/image3.png", 51),
        (f"{mean_below}/image3.png", 105),
        (f"{level}/image1.png", 102),  # the threshold itself: abnormal is above it
    ]
    written = tmp_path / "predictions.csv"
    assert predict(brightness(0.4), listed(tmp_path, pictures, header), written, tmp_path) == 3
    assert written.read_bytes().decode() == (
        "MURA-v1.1/valid/XR_WRIST/patient2/study1_positive/,1\n"
        "MURA-v1.1/valid/XR_HAND/patient1/study1_positive/,0\n"
        "MURA-v1.1/valid/XR_ELBOW/patient3/study1_positive/,0\n"
    )


def test_predict_takes_the_tree_or_the_folder_that_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list names paths from MURA-v1.1 on, and so may the root."""
    pictures = [("XR_HAND/patient1/study1_negative/image1.png", 200)]
    paths, written = listed(tmp_path, pictures), tmp_path / "predictions.csv"
    for root in (tmp_path, tmp_path / "MURA-v1.1"):
        assert predict(brightness(0.5), paths, written, root) == 1
    monkeypatch.chdir(tmp_path / "MURA-v1.1")
    assert predict(brightness(0.5), paths, written, Path()) == 1


def test_predict_scores_each_batch_of_a_long_list(tmp_path: Path) -> None:
    pictures = [(f"XR_HAND/patient{k}/study1_negative/image1.png", 200 if k % 3 else 20) for k in range(70)]
    written = tmp_path / "predictions.csv"
    assert predict(brightness(0.5), listed(tmp_path, pictures), written, tmp_path) == 70
    labels = [int(line.rsplit(",", 1)[1]) for line in written.read_text().splitlines()]
    assert labels == [int(k % 3 != 0) for k in range(70)]


def test_predict_leaves_no_partial_file_on_a_full_disk(tmp_path: Path) -> None:
    paths = listed(tmp_path, [(f"XR_HAND/patient{k}/study1_negative/image1.png", 9) for k in range(8)])
    written = tmp_path / "out" / "predictions.csv"
    written.parent.mkdir()
    written.write_text("of the last time")
    with files_of_at_most(64), pytest.raises(OutputError, match=f"{written} cannot be written"):
        predict(brightness(0.5), paths, written, tmp_path)
    assert [path.read_text() for path in written.parent.iterdir()] == ["of the last time"]


def test_predict_reads_the_competitions_own_list(here: Command, exported: Path, mura: Path, tmp_path: Path) -> None:
    written = tmp_path / "predictions.csv"
    done = here("predict", exported, mura / "valid_image_paths.csv", written, "--root", mura.parent)
    assert done.returncode == 0, done.stderr
    studies = [line.split(",")[0] for line in (mura / "valid_labeled_studies.csv").read_text().splitlines()]
    rows = [line.split(",") for line in written.read_text().splitlines()]
    assert [row[0] for row in rows] == studies
    assert {row[1] for row in rows} <= {"0", "1"}


def test_predict_names_a_picture_that_is_not_there(here: Command, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "paths.csv").write_text("MURA-v1.1/valid/XR_HAND/patient00001/study1_negative/image1.png\n")
    done = here("predict", exported, tmp_path / "paths.csv", tmp_path / "out.csv", "--root", tmp_path)
    assert done.returncode == 2
    assert "patient00001/study1_negative/image1.png" in done.stderr
    assert not (tmp_path / "out.csv").exists()
