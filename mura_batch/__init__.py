"""mura-batch: batch scoring of musculoskeletal radiographs. For research and quality assurance; not a medical device."""

__version__ = "0.1.0"
