#!/bin/sh
# The plan for version 3 of the reference model: docs/training.md. Usage: reference-v3.sh PYTHON FRACATLAS
# Stopped at any moment and started again it continues: finished runs are not run again.
# SETTINGS, where set, changes the recipes of all runs: SETTINGS=precision=float32 on a processor without bf16.
set -eu
train="$1 -m train"
change="${SETTINGS:+--set $SETTINGS}"
data="$2"
[ -f runs/start.pt ] || $train reopen engines/reference --data "$data" --out runs/start.pt
$train fit teacher $change --data "$data" --save-every 20 --out runs/teacher
$train fit distil $change --data "$data" --init runs/start.pt --save-every 20 --out runs/distil \
  --teacher runs/teacher/final.pt
$train export runs/distil/final.pt --data "$data" --card train/cards/fracatlas.toml --version 3 --out engines/v3
$train quantize engines/v3 --data "$data"
$train evaluate engines/v3 --data "$data" --out runs/evaluation-v3
$train fit teacher $change --data "$data" --fold 1/4 --save-every 20 --out runs/ablation-teacher
$train ablate train/ablations/distil.toml --data "$data" --teacher runs/ablation-teacher/final.pt \
  $change --save-every 20 --out runs/ablation-distil
