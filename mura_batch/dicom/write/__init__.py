"""Values -> DICOM files and DICOMDIR."""
