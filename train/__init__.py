"""Training: from labelled radiographs to a model folder. Runs from a checkout as `python -m train`."""
