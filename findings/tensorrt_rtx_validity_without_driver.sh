#!/usr/bin/env bash
# TensorRT-RTX 1.7.1.116: Runtime.get_engine_validity gives no cause on a machine without NVIDIA's driver.
#
# Behaviour: for a plan that the same library has just built, it returns (EngineValidity.INVALID, 0). No bit of
# EngineInvalidityDiagnostics is set, though CUDA_ERROR (64) exists and the log says "cudaError 35". A caller that only
# reads the bits would tell its user that a sound plan is invalid for no reason. For 64 bytes that are no plan the bit
# MALFORMED_ENGINE (32) is set.
#
# Output seen, besides the log, on 2026-11-27, Python 3.11, Linux x86-64, no driver:
#   1.7.1.116
#   sound plan: EngineValidity.INVALID 0
#   no plan: EngineValidity.INVALID 32
#
# Installs the public packages in a temporary folder; fails if the behaviour changes. Not part of the tests.
set -euo pipefail
if [ -e /proc/driver/nvidia/version ]; then echo "needs a machine without NVIDIA's driver"; exit 2; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorrt-rtx-cu13==1.7.1.116
cat > "$folder/check.py" <<'PYTHON'
import tensorrt_rtx as trt

logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
builder = trt.Builder(logger)
network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
data = network.add_input("data", trt.float32, (1, 8))
layer = network.add_activation(data, trt.ActivationType.RELU)
network.mark_output(layer.get_output(0))
plan = bytes(builder.build_serialized_network(network, builder.create_builder_config()))
runtime = trt.Runtime(logger)
size = runtime.engine_header_size
print(trt.__version__)
print("sound plan:", *runtime.get_engine_validity(plan[:size]))
print("no plan:", *runtime.get_engine_validity(b"x" * size))
PYTHON
seen=$("$folder/venv/bin/python" "$folder/check.py" | grep -v '\[TRT\]')  # the library's log goes there too
expected="1.7.1.116
sound plan: EngineValidity.INVALID 0
no plan: EngineValidity.INVALID 32"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "the behaviour has changed"; exit 1; }
