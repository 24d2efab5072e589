"""`make bench`: mura-batch against a straightforward script or an earlier commit, in one run on this machine.

Every figure is a ratio of two things measured in turn. Run from a checkout: `python -m bench`.
"""

import os

# Compiled modules are kept, as of an installed package: else each start that is measured compiles them, 0.3 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
