"""Files that the writer makes, read back by pydicom and by decoders that are not the writer's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.filebase import DicomBytesIO

from mura_batch.dicom import syntax
from mura_batch.dicom.write.directory import write_dicomdir
from mura_batch.dicom.write.documents import write_presentation_state, write_text_report
from mura_batch.dicom.write.radiograph import (
    CR,
    DX,
    WRITABLE,
    Code,
    ObjectHeader,
    Radiograph,
    StudyHeader,
    VoiTable,
    Window,
    encode_frame,
    write_radiograph,
)
from mura_batch.records import Laterality

STUDY = StudyHeader(
    "P1", "PHANTOM^0001", "19700101", "F", "2.25.100", "1", "20240108", "083000", "PH0001", "XR LEFT WRIST"
)
HEADER = ObjectHeader(STUDY, "2.25.101", 1, "2.25.102", 1, "WRIST PA")
PICTURE = Radiograph(HEADER, CR, "WRIST", None, Laterality.LEFT, "PA", None, 0.15)
ENCAPSULATED = tuple(name for name in WRITABLE if name not in syntax.NATIVE)


def _values(bits: int, shape: tuple[int, int] = (37, 53)) -> NDArray[np.uint16]:
    """Noise over the whole range, with flat runs of more than 128 for the run-length coder and both extremes."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, shape).astype(np.uint16)
    values[3:9] = 7
    values[0, 0], values[0, 1] = 0, (1 << bits) - 1
    return values


def _bits(name: str) -> int:
    return 16 if name == syntax.JPEG_LS_LOSSLESS else 12


def _frame(data: Dataset) -> bytes:
    return next(generate_frames(data.PixelData, number_of_frames=1))


DECODERS = {  # jpegsof3 is another project's decoder than the encoder that wrote the stream
    syntax.JPEG_2000_LOSSLESS: imagecodecs.jpeg2k_decode,
    syntax.JPEG_LS_LOSSLESS: imagecodecs.jpegls_decode,
    syntax.JPEG_LOSSLESS_SV1: imagecodecs.jpegsof3_decode,
}


@pytest.mark.parametrize("name", WRITABLE)
def test_stored_values_come_back_bit_for_bit_in_every_syntax(name: str, tmp_path: Path) -> None:
    stored = _values(_bits(name))
    picture = replace(PICTURE, bits_stored=_bits(name))

    write_radiograph(tmp_path / "a", picture, stored, name)

    data = dcmread(tmp_path / "a")
    assert data.file_meta.TransferSyntaxUID == name
    assert (data.Rows, data.Columns, data.BitsStored, data.HighBit) == (37, 53, _bits(name), _bits(name) - 1)
    # pydicom decodes native and run-length pixels by itself
    pixels = DECODERS[name](_frame(data)) if name in DECODERS else data.pixel_array
    np.testing.assert_array_equal(pixels, stored)


@pytest.mark.parametrize("name", ENCAPSULATED)
def test_a_compressed_frame_is_encapsulated_per_ps3_5_a_4(name: str, tmp_path: Path) -> None:
    write_radiograph(tmp_path / "a", replace(PICTURE, bits_stored=_bits(name)), _values(_bits(name)), name)

    data = dcmread(tmp_path / "a")
    pixels = data.PixelData
    assert data["PixelData"].VR == "OB"
    assert data["PixelData"].is_undefined_length
    assert parse_basic_offsets(DicomBytesIO(pixels), endianness="<") == [0]
    assert pixels[12:16] == b"\xfe\xff\x00\xe0"  # the fragment's item, after 8 + 4 bytes of offset table
    length = int.from_bytes(pixels[16:20], "little")
    assert length % 2 == 0
    assert len(pixels) in {20 + length, 28 + length}  # with or without the sequence delimiter, as pydicom hands it over
    assert (tmp_path / "a").read_bytes().endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")


def test_jpeg_lossless_is_first_order_prediction_with_the_stored_precision() -> None:
    """ITU-T T.81 B.2: SOF3 carries the precision; SOS carries the predictor, which selection value 1 fixes at 1."""
    code = encode_frame(_values(12), syntax.JPEG_LOSSLESS_SV1, 12)

    frame, scan = code.index(b"\xff\xc3"), code.index(b"\xff\xda")
    assert code[frame + 4] == 12
    assert code[scan + 7] == 1
    assert b"JFIF" not in code


def test_jpeg_ls_streams_have_stored_precision_without_spiff_header() -> None:
    """ITU-T T.87 C.2.2: SOF55 is FFF7, its precision the fifth byte."""
    code = encode_frame(_values(16), syntax.JPEG_LS_LOSSLESS, 16)

    assert code[:4] == b"\xff\xd8\xff\xf7"
    assert code[6] == 16


def test_a_jpeg_2000_stream_says_its_precision() -> None:
    """ITU-T T.800 A.5.1: Ssiz is the precision less one, 42 bytes behind the start of SIZ's marker."""
    code = encode_frame(_values(12), syntax.JPEG_2000_LOSSLESS, 12)

    assert code[code.index(b"\xff\x51") + 40] == 11


def test_run_length_segments_start_even_and_pack_rows_separately() -> None:
    """PS3.5 G.3.1 and G.5: a row of one value is two bytes whatever the row before it was."""
    stored = np.full((5, 100), 0x0203, dtype=np.uint16)

    code = encode_frame(stored, syntax.RLE, 12)

    assert [int.from_bytes(code[n : n + 4], "little") for n in (0, 4, 8, 12)] == [2, 64, 74, 0]
    assert code[64:74] == b"\x9d\x02" * 5  # 0x9d is -99: a hundred times
    assert code[74:] == b"\x9d\x03" * 5


def test_odd_sized_eight_bit_pixels_are_padded_to_even_length(tmp_path: Path) -> None:
    stored = np.arange(15, dtype=np.uint8).reshape(3, 5)

    write_radiograph(tmp_path / "a", replace(PICTURE, bits_stored=8), stored, syntax.EXPLICIT_LE)

    data = dcmread(tmp_path / "a")
    assert len(data.PixelData) == 16
    np.testing.assert_array_equal(data.pixel_array, stored)


@pytest.mark.parametrize(
    ("picture", "stored", "name", "message"),
    [
        (PICTURE, np.full((4, 4), 4096, np.uint16), syntax.EXPLICIT_LE, "do not fit 12 bits"),
        (PICTURE, _values(12), syntax.JPEG_LS_LOSSLESS, "8 or 16 bits"),
        (PICTURE, _values(12), syntax.HTJ2K, "not written"),
        (replace(PICTURE, sop_class=DX, slope=2.0), _values(12), syntax.EXPLICIT_LE, "Rescale Slope 1"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_no_file(
    picture: Radiograph, stored: NDArray[np.uint16], name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_radiograph(tmp_path / "a", picture, stored, name)

    assert not (tmp_path / "a").exists()


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    for name in WRITABLE:
        picture = replace(PICTURE, bits_stored=_bits(name))
        write_radiograph(tmp_path / "a", picture, _values(_bits(name)), name)
        write_radiograph(tmp_path / "b", picture, _values(_bits(name)), name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_dx_object_names_region_view_and_intent_in_codes(tmp_path: Path) -> None:
    picture = replace(
        PICTURE,
        sop_class=DX,
        region=Code("74670003", "SCT", "Wrist joint"),
        view=Code("272479007", "SCT", "postero-anterior"),
        photometric="MONOCHROME1",
    )

    write_radiograph(tmp_path / "a", picture, _values(12), syntax.EXPLICIT_LE)

    data = dcmread(tmp_path / "a")
    assert (data.SOPClassUID, data.Modality, data.PresentationIntentType) == (DX, "DX", "FOR PRESENTATION")
    assert data.AnatomicRegionSequence[0].CodeValue == "74670003"
    assert data.ViewCodeSequence[0].CodeMeaning == "postero-anterior"
    assert (data.PresentationLUTShape, data.PixelIntensityRelationshipSign) == ("INVERSE", 1)
    assert (data.RescaleSlope, data.RescaleIntercept) == (1, 0)


def test_windows_rescale_and_table_are_written_as_given(tmp_path: Path) -> None:
    picture = replace(
        PICTURE,
        slope=2.0,
        intercept=-1024.0,
        windows=(Window(1000.5, 2000.0, "SIGMOID", "A"), Window(500.0, 300.0, "SIGMOID", "B")),
        table=VoiTable(first=16, bits=12, values=tuple(range(0, 4096, 2))),
    )

    for name in (syntax.IMPLICIT_LE, syntax.EXPLICIT_LE):
        write_radiograph(tmp_path / "a", picture, _values(12), name)
        data = dcmread(tmp_path / "a")
        assert (list(data.WindowCenter), list(data.WindowWidth)) == ([1000.5, 500.0], [2000.0, 300.0])
        assert (data.VOILUTFunction, list(data.WindowCenterWidthExplanation)) == ("SIGMOID", ["A", "B"])
        assert (data.RescaleSlope, data.RescaleIntercept) == (2, -1024)
        table = data.VOILUTSequence[0]
        assert list(table.LUTDescriptor) == [2048, 16, 12]
        assert bytes(table["LUTData"].value)[:6] == b"\x00\x00\x02\x00\x04\x00"


def test_a_table_of_65536_entries_writes_0_for_their_number(tmp_path: Path) -> None:
    """PS3.3 C.11.2.1.1: the value 0 stands for 65,536."""
    picture = replace(PICTURE, bits_stored=16, table=VoiTable(0, 16, tuple(range(65536))))

    write_radiograph(tmp_path / "a", picture, _values(16), syntax.EXPLICIT_LE)

    assert dcmread(tmp_path / "a").VOILUTSequence[0].LUTDescriptor[0] == 0


def test_an_unpaired_body_part_has_no_side(tmp_path: Path) -> None:
    picture = replace(PICTURE, body_part="CHEST", laterality=Laterality.UNPAIRED)

    write_radiograph(tmp_path / "a", picture, _values(12), syntax.EXPLICIT_LE)

    data = dcmread(tmp_path / "a")
    assert data.ImageLaterality == "U"
    assert "Laterality" not in data


def test_a_text_report_holds_its_lines_and_names_its_images(tmp_path: Path) -> None:
    about = (("2.25.101", CR, "2.25.102"), ("2.25.101", CR, "2.25.103"), ("2.25.201", CR, "2.25.202"))

    write_text_report(tmp_path / "a", replace(HEADER, sop_instance_uid="2.25.9"), ("one", "two"), about)

    data = dcmread(tmp_path / "a")
    assert (data.Modality, "PixelData" in data, "Rows" in data) == ("SR", False, False)
    assert [item.TextValue for item in data.ContentSequence] == ["one", "two"]
    series = data.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [len(item.ReferencedSOPSequence) for item in series] == [2, 1]


def test_a_presentation_state_names_the_image_that_it_shows(tmp_path: Path) -> None:
    write_presentation_state(tmp_path / "a", replace(HEADER, sop_instance_uid="2.25.9"), PICTURE, (37, 53))

    data = dcmread(tmp_path / "a")
    assert data.Modality == "PR"
    assert data.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID == "2.25.102"
    assert data.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner == [53, 37]


def test_a_directory_leads_to_every_file_by_its_offsets(tmp_path: Path) -> None:
    """Followed as PS3.3 F.2.2.2 tells it: lower level and next record, from the first record of the root."""
    files = []
    for patient, study, series in ((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)):
        own = replace(STUDY, patient_id=f"P{patient}", study_uid=f"2.25.{patient}{study}")
        header = ObjectHeader(own, f"2.25.{patient}{study}{series}", series, f"2.25.{patient}{study}{series}1", 1)
        path = tmp_path / f"PA{patient}" / f"ST{study}" / f"SE{series}" / "IM1"
        path.parent.mkdir(parents=True)
        write_radiograph(path, replace(PICTURE, header=header), _values(12), syntax.EXPLICIT_LE)
        files.append(path)

    write_dicomdir(tmp_path, files, "2.25.7")

    directory = dcmread(tmp_path / "DICOMDIR")
    records = {item.seq_item_tell: item for item in directory.DirectoryRecordSequence}
    found: list[tuple[int, str]] = []

    def follow(offset: int, depth: int) -> None:
        while offset:
            record = records[offset]
            found.append((depth, "/".join(record.get("ReferencedFileID", []))))
            follow(record.OffsetOfReferencedLowerLevelDirectoryEntity, depth + 1)
            offset = record.OffsetOfTheNextDirectoryRecord

    follow(directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity, 0)
    assert len(found) == len(records) == 2 + 3 + 4 + 4
    assert [path for depth, path in found if depth == 3] == [str(path.relative_to(tmp_path)) for path in files]
    assert records[directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity].PatientID == "P2"
