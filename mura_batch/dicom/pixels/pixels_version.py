"""The version of the pixel code, part of what a stored score is known by."""

# Raise it when the same file gives another model input than before: then every score is computed again.
# tests/dicom/pixels/test_golden.py fails when model inputs change and this number does not.
PIXELS_VERSION = 4
