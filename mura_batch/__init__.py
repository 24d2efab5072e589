"""Batch scoring of musculoskeletal radiographs. For research and quality assurance; not a medical device."""

__version__ = "0.1.0"
DISCLAIMER = (
    "For research and quality assurance. Not a medical device: no result of it may guide the care of a patient."
)
