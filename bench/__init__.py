"""`make bench`: mura-batch beside a straightforward script, on this machine, in one run.

Every figure is a ratio of two things measured in turn. Run from a checkout: `python -m bench`.
"""
