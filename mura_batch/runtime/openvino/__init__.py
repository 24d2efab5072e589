"""The CPU backend: the model on the processor through OpenVINO."""
