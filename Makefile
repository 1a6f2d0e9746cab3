# Everything a person does with the source tree. POSIX make; works with the GNU make 3.81 of macOS.

PYTHON = python3
ARGS =
V = .venv/bin/
SETUP = scripts/require_python.sh $(PYTHON) && $(PYTHON) scripts/setup.py

.PHONY: help setup setup-dev compiled demo check fmt test test-long torch-env bench lock docs translations clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv with the command .venv/bin/ultralab (PYTHON=python3.12 chooses who runs the set-up)
	@$(SETUP)

setup-dev: ## The same, with what tests and checks need
	@$(SETUP) --dev

demo: setup ## From nothing to a finished experiment on a real model (ARGS="--home DIR")
	@$(V)ultralab demo $(ARGS)

check: setup-dev ## Style, types, floors, translations, reference, addresses
	$(V)ruff check .
	$(V)ruff format --check .
	$(V)mypy
	$(V)lint-imports --no-cache
	$(V)python scripts/translations.py check
	$(V)python scripts/write_reference.py --check
	$(V)python scripts/addresses.py

fmt: setup-dev ## Format the code and mend what can be mended by itself
	$(V)ruff check --fix-only .
	$(V)ruff format .

test: setup-dev compiled ## The tests (under 15 minutes on two cores; ARGS="tests/unit -k name")
	@$(V)python -m pytest -m "not slow and not alone" -n 2 --dist loadfile $(ARGS) || [ $$? -eq 5 ]
	@$(V)python -m pytest -m "alone and not slow" $(ARGS) || [ $$? -eq 5 ]

test-long: setup-dev compiled torch-env ## Kill, soak and framework tests (under 40 minutes)
	@$(V)python -m pytest -m "slow and not torch" $(ARGS) || { status=$$?; [ $$status -eq 5 ] && echo "0 passed, 0 failed"; }
	@.venv-torch/bin/python -m pytest -m torch $(ARGS) || { status=$$?; [ $$status -eq 5 ] && echo "0 passed, 0 failed"; }

torch-env: setup-dev ## Make .venv-torch: .venv and PyTorch, for the long tests
	@$(V)python scripts/torch_env.py

bench: setup-dev compiled ## Measure start-up, jobs and the library against their limits (six minutes)
	@$(V)python benchmarks/startup.py
	@$(V)python benchmarks/jobs.py
	@$(V)python benchmarks/library.py
	@$(V)python benchmarks/headers.py
	@$(V)python benchmarks/download.py
	@$(V)python benchmarks/plan_time.py

compiled: setup-dev # byte code, as an installed command has it, even where the environment says not to write any
	@$(V)python -m compileall -q src

lock: setup-dev ## Compile requirements/*.txt anew (ARGS=--upgrade takes the newest versions)
	$(V)python scripts/lock.py $(ARGS)

docs: setup-dev ## Write docs/reference from the code
	$(V)python scripts/write_reference.py

translations: setup-dev ## Collect new sentences into the catalogues and compile them
	$(V)python scripts/translations.py extract
	$(V)python scripts/translations.py update
	$(V)python scripts/build_translations.py

clean: ## Remove what was made: environment, caches, the demo's lab stays
	rm -rf .venv .venv-torch .setup dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
