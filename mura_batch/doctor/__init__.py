"""`mura-batch doctor` and `mura-batch bench`: what this machine can do, and how fast each backend runs here."""
