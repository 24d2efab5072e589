"""The GPU backend TensorRT-RTX: plans that any machine builds and that compile their kernels on the GPU that runs them."""
