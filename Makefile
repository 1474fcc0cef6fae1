# `make demo` and `make test` set up what they need; the second time that costs nothing.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup lock demo loop loop-as-asked loop-pirate fast test nightly properties check wheel docs fmt clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup:  ## make .venv, with the vLLM build that suits this machine
	@$(PYTHON) scripts/setup_env.py

lock:  ## update scripts/locks after a change of pyproject.toml (ARGS=--upgrade for newer versions)
	@$(PYTHON) scripts/lock.py $(ARGS)

demo: setup  ## a constitution and prompts in, preference data out, on the embedded model
	$(BIN)/python generate_feedback.py --constitution principles/demo.yaml --prompts principles/prompts/demo.jsonl \
		--config configs/demo.yaml --weights principles/weights/demo.json --out runs/demo

loop: setup  ## two rounds of sample, label, train, evaluate: the embedded model learns to answer briefly; about half an hour
	$(BIN)/python -m training loop --config configs/loop.yaml --out runs/loop

loop-as-asked: setup  ## the same with instructions that are checked, by a gold that cutting the text does not win
	$(BIN)/python -m training loop --config configs/loop_as_asked.yaml --out runs/loop-as-asked
	$(BIN)/python -m benchmarks.loop_baselines --loop runs/loop-as-asked

loop-pirate: setup  ## the same with a persona: read a few responses before and after
	$(BIN)/python -m training loop --config configs/loop_pirate.yaml --out runs/loop-pirate

fast: setup  ## run the tests that load no model
	$(BIN)/python -m pytest -m "not model" $(ARGS)

test: setup  ## run all tests (ARGS='-m "not model"' leaves out those that load a model)
	$(BIN)/python -m pytest $(ARGS)

nightly: setup  ## run the tests that need minutes each
	$(BIN)/python -m pytest -m nightly $(ARGS)

properties: setup  ## try every property on N times as many examples as the tests do (N=100), other ones each time
	SOLON_EXAMPLES=$(or $(N),100) $(BIN)/python -m pytest -m "hypothesis and not model" $(ARGS)

check: setup  ## lint, format, types, and every shipped constitution
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m constitution lint principles/*.yaml principles/gold/*.yaml

wheel: setup  ## build the wheel, and use it in an empty environment outside this folder
	$(BIN)/python scripts/check_wheel.py

docs: setup  ## build the documentation site into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build/html

fmt: setup  ## format the code, and fix what can be fixed automatically
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## delete .venv and caches; runs stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
