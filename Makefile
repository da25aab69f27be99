# The first target without arguments is the help. Every target sets up what it needs in .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := data/captcha

# The input table and the folder of shards; the demo's without arguments.
TABLE ?= $(DEMO)/labels.csv
IS_DEMO := $(filter $(DEMO)/labels.csv,$(TABLE))
OUT ?= $(if $(IS_DEMO),$(DEMO)/shards,shards)
# What is trained on: the folder of a dataset, or a glob (in quotes). With TABLE it is made first.
SHARDS ?= $(OUT)
# All that a training makes; the same command goes on from there.
RUN ?= $(if $(and $(IS_DEMO),$(filter file,$(origin SHARDS))),$(DEMO)/training,training)
# The most epochs of a training; 10 without.
EPOCHS ?=
# More options for the converter, e.g. ARGS='--size 64x64'; of `make train` without TABLE, for train.py.
ARGS ?=
# Where the demo's captchas have their characters.
DEMO_BOX := --crop 186,0,300,30 --size 128x32
# s3:// needs one package more.
S3 = $(if $(findstring s3://,$(TABLE) $(OUT) $(SHARDS)),$(VENV)/.s3)
# Servers of `make hdfs`.
DATANODES ?= 1

# A room of the tests, e.g. T=reader/cache; all without it.
T ?=
# PART=1 runs only some tests of a kind: every n-th, as tests/conftest.py says.
PART ?=
# Several processes test at once, each its own files.
AT_ONCE := -n auto --maxprocesses 4 --dist loadfile
C_SOURCES := $(wildcard reader/core/*.[ch]) converter/sources/_files.c

# An environment keeps the Python that it was made with.
ifeq ($(origin PYTHON),command line)
ifneq ($(wildcard $(BIN)/python),)
ifneq ($(shell $(BIN)/python -VV),$(shell $(PYTHON) -VV))
$(error PYTHON=$(PYTHON) is not the Python that $(VENV) was made with, $(shell $(BIN)/python -V): run `make clean` first, or use another clone)
endif
endif
endif

.DEFAULT_GOAL := help
.PHONY: help shards table train hdfs hdfs-stop mount test test-slow test-kills test-fuzz test-outages test-browser test-s3 test-spark test-speed test-jobs test-memory test-hdfs test-asan lint bench bench-peers dist clean

help: ## show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

shards: $(VENV)/.convert $(S3) $(if $(IS_DEMO),$(DEMO)/labels.csv) ## convert images to shards [TABLE=labels.csv OUT=folder ARGS='--size 64x64']; without TABLE, the demo
	$(BIN)/python -m converter --in-make '$(TABLE)' '$(OUT)' $(if $(IS_DEMO),$(DEMO_BOX)) $(ARGS)

table:
	@bash .ci/table '$(TABLE)'

train: $(VENV)/.train $(S3) ## train a small Keras model [SHARDS=folder or glob, or TABLE=labels.csv; EPOCHS=10, RUN=folder for what it makes]; without, on the demo
	$(if $(filter file,$(origin SHARDS)),$(if $(IS_DEMO),@test -e '$(OUT)/dataset.json' || )$(MAKE) --no-print-directory shards)
	$(BIN)/python examples/captcha/train.py '$(SHARDS)' --out '$(RUN)' $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(filter file,$(origin TABLE)),$(ARGS))

hdfs: $(VENV)/.dev ## start a real HDFS on this machine, to try things out [DATANODES=1]
	@bash .ci/hadoop
	$(BIN)/python -m examples.hdfs.cluster start data/hdfs --datanodes $(DATANODES)

hdfs-stop: $(VENV)/.dev ## stop the HDFS that `make hdfs` started
	$(BIN)/python -m examples.hdfs.cluster stop data/hdfs

mount: $(VENV)/.mount ## mount a folder of shards, read-only, until Ctrl-C [HDFS=hdfs://host:8020/shards MNT=/mnt/shards]
	$(if $(and $(HDFS),$(MNT)),,$(error which folder, and where? make mount HDFS=hdfs://host:8020/shards MNT=/mnt/shards))
	@bash .ci/fuse
	$(BIN)/python -m reader mount '$(HDFS)' '$(MNT)' $(ARGS)

test: $(VENV)/.dev ## run the tests but for the slow ones [T=reader/cache for those of a room]
	$(BIN)/python -m pytest -m 'not slow' $(or $(T:%=tests/%),$(AT_ONCE))

test-slow: $(VENV)/.dev ## run the slow tests [PART=1 for a part of the kinds below]
	$(BIN)/python -m pytest -m slow $(if $(PART),--part) $(or $(T:%=tests/%),$(AT_ONCE))

test-kills: $(VENV)/.dev ## kill runs at each of their steps
	$(BIN)/python -m pytest -m kills $(if $(PART),--part)

test-fuzz: $(VENV)/.dev ## read files with each bit flipped
	$(BIN)/python -m pytest -m fuzz $(if $(PART),--part)

test-speed: $(VENV)/.dev ## run what measures (doctor, bench, benchmarks) in a small form
	$(BIN)/python -m pytest -m speed $(if $(PART),--part)

test-jobs: $(VENV)/.dev ## train, and load by several processes, in each framework
	$(BIN)/python -m pytest -m jobs $(if $(PART),--part)

test-memory: $(VENV)/.dev ## measure the memory that reading and converting take
	$(BIN)/python -m pytest -m memory $(if $(PART),--part)

test-outages: $(VENV)/.dev ## let servers of HDFS die, freeze and restart
	@bash .ci/hadoop
	$(BIN)/python -m pytest -m outages $(if $(PART),--part)

test-browser: $(VENV)/.dev ## try pages in a headless Chromium
	@bash .ci/browser $(BIN)/python
	$(BIN)/python -m pytest -m browser $(if $(PART),--part)

test-s3: $(VENV)/.dev ## convert to and read from an S3 server on this machine
	@bash .ci/s3 $(BIN)/python
	$(BIN)/python -m pytest -m s3 $(if $(PART),--part)

test-spark: $(VENV)/.dev ## convert on a Spark cluster on this machine
	@bash .ci/hadoop
	@bash .ci/spark $(BIN)/python
	$(BIN)/python -m pytest -m spark $(if $(PART),--part)

test-hdfs: $(VENV)/.dev ## run all tests of HDFS
	@bash .ci/hadoop
	$(BIN)/python -m pytest tests/hdfs tests/storage/test_conformance.py

test-asan: $(VENV)/.dev ## run the tests of the compiled code with AddressSanitizer
	bash .ci/asan $(BIN)/python

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.layers

bench: $(VENV)/.dev ## measure converting and reading against the usual ways, side by side
	$(BIN)/python benchmarks/convert.py
	$(BIN)/python benchmarks/read.py

bench-peers: $(VENV)/.dev ## install other loaders, each for itself, and measure against them
	$(BIN)/python -m pip --disable-pip-version-check install -q torch==2.13.0
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/convert_peers.py

dist: $(VENV)/.convert ## build the source archive and a wheel, and try both
	bash .ci/dist $(BIN)/python

clean: $(if $(wildcard data/hdfs),hdfs-stop) ## remove the environment, the demo and what benchmarks and checks left
	rm -rf $(VENV) $(DEMO) data/bench data/bench-images data/bench-out data/gpu-feed data/hdfs data/mlperf data/peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@rmdir data 2>/dev/null || true
	find reader converter -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO)/labels.csv: | $(VENV)/.convert
	@rm -rf $(DEMO)
	$(BIN)/python examples/captcha/make_captchas.py $(DEMO)

# Stamps, one for each set of extras: what a target does not need is not installed for it.
$(VENV)/.convert: pyproject.toml setup.py $(C_SOURCES) .ci/install .ci/headers .ci/pillow_stand_in.py | $(if $(IS_DEMO),,table)
	PYTHON=$(PYTHON) bash .ci/install $(VENV) convert,hdfs
	@touch $@

$(VENV)/.train: pyproject.toml setup.py $(C_SOURCES) .ci/install .ci/headers .ci/pillow_stand_in.py
	PYTHON=$(PYTHON) bash .ci/install $(VENV) convert,tensorflow,tensorboard,hdfs
	@touch $@

$(VENV)/.s3: pyproject.toml .ci/install
	PYTHON=$(PYTHON) bash .ci/install $(VENV) s3
	@touch $@

$(VENV)/.mount: pyproject.toml setup.py $(C_SOURCES) .ci/install .ci/headers .ci/pillow_stand_in.py
	PYTHON=$(PYTHON) bash .ci/install $(VENV) hdfs,mount
	@touch $@

$(VENV)/.dev: pyproject.toml setup.py $(C_SOURCES) .ci/install .ci/headers .ci/pillow_stand_in.py
	PYTHON=$(PYTHON) bash .ci/install $(VENV) convert,tensorflow,tensorboard,hdfs,mount,dev
	@touch $@
