"""The GPU backend TensorRT-RTX: plans that any machine builds; kernels are compiled on the GPU that runs them."""
