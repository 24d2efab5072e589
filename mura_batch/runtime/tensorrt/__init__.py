"""The GPU backend: TensorRT plans, built and run."""
