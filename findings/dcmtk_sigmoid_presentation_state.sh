#!/usr/bin/env bash
# DCMTK 3.6.7 (Debian 12) and Grayscale Softcopy Presentation States: VOI LUT Function SIGMOID (0028,1056), allowed there by
# PS3.3 C.11.8, is ignored. dcmp2pgm renders the window as LINEAR, without a warning. Seen: "same picture". Expected: the
# two pictures differ. mura-batch writes such a window as a VOI LUT (dicom/write/result_gsps.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq -o APT::Sandbox::User=root dcmtk=3.6.7-9~deb12u4 libdcmtk17=3.6.7-9~deb12u4 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH="$folder/root/usr/lib/$(uname -m)-linux-gnu" DCMDICTPATH="$folder/root/usr/share/libdcmtk17/dicom.dic"
python3 -m venv venv
venv/bin/pip install --quiet pydicom==3.0.2 highdicom==0.28.2
venv/bin/python - <<'PYTHON'
import numpy as np
from highdicom.pr import GrayscaleSoftcopyPresentationState, SoftcopyVOILUTTransformation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

image = Dataset()
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = ComputedRadiographyImageStorage
image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = "2.25.1"
image.StudyInstanceUID, image.SeriesInstanceUID, image.Modality = "2.25.2", "2.25.3", "CR"
for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber"):
    setattr(image, keyword, "")
image.PatientName, image.PatientID, image.StudyDate = "A^B", "1", "20260101"
image.Rows = image.Columns = 64
image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
image.PixelData = np.arange(4096, dtype="<u2").tobytes()
image["PixelData"].VR = "OW"
image.save_as("image.dcm", enforce_file_format=True)
for function in ("LINEAR", "SIGMOID"):
    state = GrayscaleSoftcopyPresentationState(
        [image], "2.25.4", 1, "2.25.5", 1, "test", "test", "1", "1", "TEST",
        voi_lut_transformations=[SoftcopyVOILUTTransformation(2048.0, 1024.0, voi_lut_function=function)],
    )
    state.save_as(f"{function}.dcm")
PYTHON
for function in LINEAR SIGMOID; do
  root/usr/bin/dcmp2pgm --pstate "$function.dcm" image.dcm "$function.pgm"
done
root/usr/bin/dcmp2pgm --version | head -1
cmp LINEAR.pgm SIGMOID.pgm && echo "same picture"
