"""What every output of the program states: its version and what the results are not for."""

__version__ = "0.1.0"
DISCLAIMER = (
    "For research and quality assurance. Not a medical device: no result of it may guide the care of a patient."
)
