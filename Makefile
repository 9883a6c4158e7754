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

# Two workers on two cores: more threads than cores would wait for each other.
test: lint
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadscope --cov=fennec --cov-report=term:skip-covered

docs: $(BIN)/.ready  ## API reference from the docstrings, in build/docs
	$(BIN)/python -W ignore -m pdoc --docformat google -o build/docs $(subst /,.,$(patsubst %/__init__,%,$(basename $(wildcard fennec/*.py fennec/*/*.py))))

bench: $(BIN)/.ready  ## every figure in README.md and benchmark/README.md; about seven hours
	$(BIN)/python benchmark/space/leave_one_task_out.py
	$(BIN)/python benchmark/space/leave_one_study_out.py
	$(BIN)/python benchmark/space/partial_knowledge.py
	$(BIN)/python benchmark/space/build_spaces.py
	$(BIN)/python benchmark/space/certainty.py
	$(BIN)/python benchmark/space/shortlist.py
	$(BIN)/python benchmark/space/expectations.py
	$(BIN)/python benchmark/space/new_tasks.py --folder build/new_tasks
	$(BIN)/python benchmark/space/words.py --folder build/new_tasks
	[ ! -d ../shared ] || $(BIN)/python benchmark/space/words.py --images ../shared/images
	$(BIN)/python benchmark/space/search.py
	$(BIN)/python benchmark/architectures/train_archi2vec.py
	$(BIN)/python benchmark/architectures/cold_start.py
	$(BIN)/python benchmark/architectures/cost_model.py
	$(BIN)/python benchmark/architectures/plot_architectures.py
	$(BIN)/python benchmark/space/speed.py
	$(BIN)/python benchmark/space/scoring_time.py
	$(BIN)/python benchmark/metrics/metric_speed.py
	$(BIN)/python benchmark/metrics/metric_growth.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/metrics/metric_parity.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/metrics/real_features.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/lab24/measure_lab24.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/lab24/compare_lab24.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/lab24/engines.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/lab24/search_lab24.py
	$(BIN)/python benchmark/lab24/search_evidence.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/data/build_models.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/data/build_studies.py
	[ ! -d ../shared ] || $(BIN)/python benchmark/data/build_throughput.py
	$(BIN)/python -m tests.fuzz -n 500
	$(BIN)/python benchmark/data/giving_back.py
	$(BIN)/python benchmark/pages/documentation.py
	$(BIN)/python benchmark/pages/tables.py
