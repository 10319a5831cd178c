# On a fresh machine with Python 3.11 and make: `make demo` or `make test` sets everything up first.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
LOCKS  := requirements/uv.txt requirements/lock.txt requirements/build.txt

.PHONY: setup demo models test test-fast test-installs lint docs docs-ibsi bench lock update audit sbom clean

setup: $(STAMP)

# uv comes pinned by hash into the environment that it then fills: nothing is installed outside the checkout.
$(STAMP): $(LOCKS) pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --build-constraints requirements/build.txt requirements/lock.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q $(VENV)/lib radiomics_talent >/dev/null || true
	touch $(STAMP)

demo: setup
	$(BIN)/radiomics-talent demo --out demo

# The demo model of models/: trained on a synthetic trial of its own, other than that of `make demo`.
TRIAL := build/demo-trial
models: setup
	rm -rf models/demo $(TRIAL)
	$(BIN)/radiomics-talent demo --out $(TRIAL) --patients 40 --seed 2678780 --features-only
	$(BIN)/radiomics-talent train $(TRIAL)/run --clinical $(TRIAL)/clinical.csv --study talent --outcome best_overall_response --positive CR,PR --config talent-response --synthetic --out models/demo
	rm -r models/demo/folds

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

test-fast: setup
	$(BIN)/python -m pytest -n 2 -m "not slow" tests

# The wheel in an empty environment of every Python that is found, about two minutes each; `make test` takes two of them.
test-installs: setup
	RADIOMICS_TALENT_INSTALLS=all $(BIN)/python -m pytest tests/test_install.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/lint-imports

docs: setup
	$(BIN)/python docs/write_tables.py

# The measured parts of docs/ibsi.md: `make docs-ibsi DATA=FOLDER`, the folder of the IBSI's CT phantom.
docs-ibsi: setup
	$(BIN)/python docs/write_ibsi.py --data "$(DATA)"

bench: setup
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/index_speed.py
	$(BIN)/python benchmarks/ibsi_cost.py

# Renew the pins: names and versions from pyproject.toml, hashes from the registry that the user's uv is set up for.
lock: setup
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra cluster --extra reference --extra workflow --group dev -o requirements/lock.txt pyproject.toml
	echo 'uv' | $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header -o requirements/uv.txt -
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/build.txt requirements/build.in

# The one command that renews every pin: it says what changed, and looks the new pins up among known vulnerabilities.
OLD := build/pins-before
update: setup
	rm -rf $(OLD) && mkdir -p $(OLD) && cp requirements/*.txt $(OLD)
	$(MAKE) lock
	$(BIN)/python requirements/show_changes.py $(OLD) requirements
	$(MAKE) audit

# Known vulnerabilities of the pins. `make audit STRICT=--required` fails where not every package could be looked up.
audit: setup
	$(BIN)/python requirements/audit.py $(STRICT)

# What the program is made of, as CycloneDX; `make sbom WITH="--extra cluster --extra workflow --group dev"` for more.
sbom: setup
	$(BIN)/python requirements/sbom.py $(WITH)

clean:
	rm -rf $(VENV) demo build
