# Two commands do all set-up: `make demo` and `make test`. Both need nothing but Python and a package index.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint docs bench

$(BIN)/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e ".[test]"
	touch $@

demo: $(BIN)/.ready  ## rank models for 1,797 real pictures of digits
	$(BIN)/fennec recommend sklearn:digits

lint: $(BIN)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell fennec benchmark docs tests README.md CONTRIBUTING.md CHANGELOG.md

test: lint
	$(BIN)/pytest -n 2 --dist loadscope --cov=fennec --cov-report=term:skip-covered

docs: $(BIN)/.ready  ## API reference from the docstrings, in build/docs
	$(BIN)/python -W ignore -m pdoc --docformat google -o build/docs $(subst /,.,$(patsubst %/__init__,%,$(basename $(wildcard fennec/*.py fennec/*/*.py))))

bench: $(BIN)/.ready  ## every figure in README.md and benchmark/README.md; about seven hours
	$(BIN)/python benchmark/leave_one_task_out.py
	$(BIN)/python benchmark/partial_knowledge.py
	$(BIN)/python benchmark/certainty.py
	$(BIN)/python benchmark/ablation.py
	$(BIN)/python benchmark/hub_study.py
	$(BIN)/python benchmark/experiments.py
	$(BIN)/python benchmark/train_archi2vec.py
	$(BIN)/python benchmark/cold_start.py
	$(BIN)/python benchmark/plot_architectures.py
	$(BIN)/python benchmark/speed.py
	$(BIN)/python benchmark/scoring_time.py
	$(BIN)/python benchmark/metric_speed.py --seconds 30
	[ ! -d ../shared ] || $(BIN)/python benchmark/metric_parity.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/real_features.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/measure_lab24.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/compare_lab24.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/engines.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/build_data.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/data/build_models.py
	$(BIN)/python benchmark/documentation.py
	$(BIN)/python benchmark/tables.py
