#!/usr/bin/env bash
# Ray 2.60.0: a cluster on 127.0.0.1 cannot be joined by its own address.
#
# Behaviour: the head of a cluster that was started with node IP address 127.0.0.1 listens on loopback alone.
# ray.init(address="127.0.0.1:PORT") replaces 127.0.0.1 by the address with which this machine reaches the network
# (services.resolve_ip_for_localhost), where nobody listens, and tries again and again: nothing was said in 280 s. Only the
# environment variable RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0, whose name speaks of other systems, leaves the address as it is.
#
# Output seen on 2026-11-27, Python 3.11, Linux x86-64, with a network interface besides loopback:
#   2.60.0
#   as given: no connection within 100 s
#   RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0: connected
#
# Installs the public package in a temporary folder; fails if the behaviour changes. Not part of the tests.
set -euo pipefail
folder=$(mktemp -d /tmp/ray-XXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
cat > "$folder/check.py" <<'PYTHON'
import sys

import ray
from ray.cluster_utils import Cluster

arguments = {"num_cpus": 1, "object_store_memory": 80 << 20, "node_ip_address": "127.0.0.1", "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={**arguments, "temp_dir": sys.argv[1]})
try:
    ray.init(address=cluster.address, log_to_driver=False, logging_level="CRITICAL")
    print("connected", flush=True)
    ray.shutdown()
finally:
    cluster.shutdown()
PYTHON
export RAY_USAGE_STATS_ENABLED=0
check() {  # a file, not a pipe: Ray's daemons would hold its other end
  timeout 100 "$folder/venv/bin/python" "$folder/check.py" "$folder/session" >"$folder/said" 2>/dev/null || true
  if [ -s "$folder/said" ]; then cat "$folder/said"; else echo "no connection within 100 s"; fi
}
seen=$("$folder/venv/bin/python" -c 'import ray; print(ray.__version__)'
  echo "as given: $(check)"
  echo "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0: $(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 check)")
expected="2.60.0
as given: no connection within 100 s
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0: connected"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "the behaviour has changed"; exit 1; }
