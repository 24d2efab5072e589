"""What GPU backends share: devices, CUDA contexts, streams and buffers. The only importers of pycuda."""
