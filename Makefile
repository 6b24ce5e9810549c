# SPDX-License-Identifier: Apache-2.0
# Everything runs in .venv, which `make setup` fills; every other target sets up by itself.
VENV := .venv
STAMP := $(VENV)/.set-up
BIN := $(VENV)/bin
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP)  ## create .venv and install everything into it

$(STAMP): pyproject.toml setup.py setup.cfg package.xml scripts/setup_venv $(wildcard scripts/nodes/*) \
		$(wildcard l2a_ros/planning/native/*)
	@scripts/setup_venv $(VENV) $(STAMP)

demo: $(STAMP)  ## run a line-following trial of 20 s: ROS 2 nodes, a simulated robot, a model that adapts
	@$(BIN)/l2a sim --path straight --duration 20 --out $(DEMO)

test: lint  ## run all checks and tests
	@scripts/run_tests $(BIN)/python

lint: $(STAMP)  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/mypy

clean:  ## remove everything that can be made again, .venv included
	rm -rf $(VENV) build install log dist runs *.egg-info l2a_ros/planning/_rollout*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
