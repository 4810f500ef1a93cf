# Every target first makes the environment it needs in $(VENV); nothing is installed by hand.
#
#   make demo     train, evaluate and draw on a rendered data set, from nothing
#   make test     run the tests
#   make test-browser     run those of the web page in Chromium and behind nginx (Debian: chromium, chromium-driver, nginx)
#   make test-wheel     build a wheel, install it into an environment of its own, and run its demo in an empty folder
#   make test-cuda     run those that compare a GPU with the CPU, and train and test on it
#   make TORCH=torch==2.11.0 ...     with another PyTorch than the verified one, e.g. for a CUDA machine

PYTHON ?= python3
VENV ?= .venv
TORCH ?= $(shell grep '^torch==' constraints/cpu.txt)
MMCV := $(shell grep '^onedl-mmcv==' constraints/cpu.txt)
DEMO_ARGS ?=
TEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
CONSTRAINTS := $(VENV)/constraints.txt
INSTALLED := $(VENV)/installed-$(subst ==,-,$(TORCH))

.PHONY: install demo test test-browser test-wheel test-cuda lint clean
install: $(INSTALLED)

$(INSTALLED): setup.py mmps/utils/environment.py constraints/cpu.txt tools/misc/install_mmcv.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "mmps needs Python 3.10 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@(grep -v '^torch==' constraints/cpu.txt; echo '$(TORCH)') > $(CONSTRAINTS)
	$(PIP) install 'setuptools>=80,<82' wheel packaging ninja psutil
	$(PIP) install -c $(CONSTRAINTS) torch numpy
	tools/misc/install_mmcv.sh $(BIN)/python $(MMCV) $(CONSTRAINTS)
	$(PIP) install --no-build-isolation -c $(CONSTRAINTS) -e '.[mm,tensorboard,gallery,milvus,demo,heic,plots,export,tests]'
	$(BIN)/python -m mmps.utils.collect_env --check
	touch $@

demo:
	@echo "make demo: about 4 minutes to install, then 20 to 30 to render and train on two cores; again: it goes on"
	@$(MAKE) --no-print-directory install
	$(BIN)/python tools/misc/quick_start.py $(DEMO_ARGS)

# Tests start many processes from the same files; each would compile them again.
unexport PYTHONDONTWRITEBYTECODE

test: $(INSTALLED)
	$(BIN)/python -m pytest $(TEST_ARGS)

test-browser: $(INSTALLED)
	$(BIN)/python -m pytest -n0 -m browser tests/test_web $(TEST_ARGS)

test-wheel: $(INSTALLED)
	tools/misc/try_wheel.sh $(BIN)/python $(MMCV) $(CONSTRAINTS)

test-cuda: $(INSTALLED)
	$(BIN)/python -m pytest -n0 -m cuda tests/test_models $(TEST_ARGS)
	$(BIN)/python -m pytest tests/test_tools/test_end_to_end.py tests/test_tools/test_training_outputs.py $(TEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
