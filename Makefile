# The front door. `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiled modules are kept, as of an installed package: else each start of the program compiles them, 0.3 s.
export PYTHONDONTWRITEBYTECODE :=

# Debian packages: chromium shows the report; the others are other readers of DICOM, PixelMed's SR validator, an
# archive, a compiler for what plays bad file systems, and R as a second opinion on statistics. A service that a package starts is stopped: tests start and stop their own.
PROGRAMS := chromium dcmtk dicom3tools libgdcm-tools libpixelmed-java default-jre-headless orthanc orthanc-dicomweb gcc libc6-dev \
	r-base-core r-cran-psych r-cran-proc r-cran-survey

PICTURES := $(wildcard $(or $(MURA_BATCH_SHARED),../shared)/fracatlas)

.PHONY: help demo test check bench coverage crash faults differ fuzz cluster nights wheel train-reference reference-check gpu-check setup programs clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/pip: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --upgrade pip
	@touch $@

$(VENV)/.installed: $(BIN)/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[train,teacher]" --group dev
	@touch $@

setup: $(VENV)/.developed  ## the development environment

demo: $(VENV)/.installed  ## three nights over a growing archive of drawn studies; prints where the pages are
	$(BIN)/python -m bench.demo demo

test: $(VENV)/.developed programs  ## all tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder --durations 25

check: $(VENV)/.developed  ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/runtime/tensorrt_stubs.py
	$(BIN)/lint-imports

bench: $(VENV)/.developed  ## speed as ratios against a straightforward script, 12 minutes; AGAINST=COMMIT: against an earlier commit
	$(BIN)/python -m $(if $(AGAINST),bench.against $(AGAINST),bench $(if $(PICTURES),--pictures $(PICTURES))) $(BENCH)

wheel: $(VENV)/.developed  ## dist/: the wheel and constraints.txt, what another machine needs to install
	rm -rf dist && $(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	cp constraints.txt dist/ && ls dist

train-reference: $(VENV)/.developed  ## trains version 3 of the reference model by the plan of docs/training.md; 2 to 5 hours; may be stopped and repeated
	@test -n "$(PICTURES)" || { echo "FracAtlas is not there: set MURA_BATCH_SHARED to the folder that holds fracatlas/"; exit 2; }
	sh train/plans/reference-v3.sh $(BIN)/python $(PICTURES)

reference-check: $(VENV)/.developed  ## the reference model's AUROC on all of val, through DICOM: is it the card's? 3 minutes
	MURA_BATCH_WHOLE_VAL=1 $(BIN)/python -m pytest -q tests/dicom/pixels/test_training_path.py -k auroc

gpu-check: $(VENV)/.developed  ## on a machine with an NVIDIA GPU: what can be proved there in 15 minutes, as a table and JSON
	$(BIN)/python tests/gpu/check.py --results build/gpu-check.json

coverage: $(VENV)/.developed  ## how often the 95 % intervals hold the true value, by simulation; goes on where it stopped; 20 minutes
	$(BIN)/python -m bench.coverage

differ: $(VENV)/.developed programs  ## 5,000 odd radiographs read by us, by pydicom, by DCMTK and by GDCM: do they agree?
	$(BIN)/python tests/dicom/differ.py --variants 5000

fuzz: $(VENV)/.developed  ## 20,000 damaged DICOM files: a record for each, no crash, no hang, flat memory
	$(BIN)/python tests/dicom/fuzz.py --inputs 20000

cluster: $(VENV)/.developed  ## `score --cluster` on Ray nodes of this machine: nodes, driver and head killed, real files, speed; half an hour
	$(BIN)/python tests/scoring/cluster/acceptance.py

crash: build/faults.so  ## kills runs at 200 points, and prune, backup, report, forget and migration at each call, and compares the bytes of the next ones; 50 starts at once
	LD_PRELOAD=$(CURDIR)/build/faults.so $(BIN)/python tests/crash/harness.py --points 200
	LD_PRELOAD=$(CURDIR)/build/faults.so $(BIN)/python tests/crash/killed_commands.py
	MURA_BATCH_STARTS=50 $(BIN)/python -m pytest -q tests/cli/test_run_control.py -k many_starts

faults: build/faults.so  ## lets each write, fsync, mkdir, rename, link and open of OUT fail with ENOSPC, EIO and EDQUOT; an hour
	LD_PRELOAD=$(CURDIR)/build/faults.so $(BIN)/python tests/crash/failing_calls.py
	LD_PRELOAD=$(CURDIR)/build/faults.so $(BIN)/python tests/crash/failing_calls.py --lasting

build/faults.so: tests/crash/faults.c $(VENV)/.developed
	mkdir -p build && cc -shared -fPIC -O1 -o $@ $< -ldl

programs:  # programs that tests use, from Debian's packages; installed as root, else the tests that need them are skipped
	@missing=; for package in $(PROGRAMS); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	[ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  for package in $$missing; do DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$package \
	    >/dev/null || echo "$$package cannot be installed: tests that need it are skipped"; \
	  done; [ ! -x /etc/init.d/orthanc ] || /etc/init.d/orthanc stop >/dev/null 2>&1 || true; } || \
	echo "not installed:$$missing: tests that need them are skipped (apt-get install$$missing)"

clean:  ## removes what make made
	rm -rf $(VENV) demo dist build
