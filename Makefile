# Branchpoint: set-up, demo and checks. `make` alone lists the targets.

PYTHON ?= python3
DEMO_SEED ?= 5
DEMO_SEEDS ?= 40
DEMO_TIME ?= 120s
LAB_ARGS ?=
CORPUS ?=

BIN := .venv/bin
READY := .venv/ready
SYSTEM := notebooks/systems/aria
NOTEBOOK := tip-retransmitter
RECORDING := build/aria.branchpoint
UNFINISHED := build/.unfinished.branchpoint
RECORDED := build/aria.recorded
REDIS := SYSTEM=notebooks/systems/redis NOTEBOOK=redis-failover DEMO_SEED=17 DEMO_TIME=60s \
    RECORDING=build/redis.branchpoint RECORDED=build/redis.recorded
MARKED := not long
TESTS := $(wildcard tests/machine tests/browser tests/quality tests/fast)
REFERENCE := branchpoint $(addprefix branchpoint.,timeline.recording timeline.faulting timeline.schedule \
    timeline.capture.packets events.queries futures.curve futures.contrast futures.attribution futures.rarity \
    futures.culprits.culprits futures.culprits.listing futures.culprits.decisions futures.what_if \
    futures.explaining search.exploring search.exploration)
BESIDE := $(addprefix .venv/beside/,7.2 7.3 7.4)
NPM := .ci/node npm --prefix extension
LIBRARIES := extension/node_modules/.package-lock.json
EXTENSION := extension/labextension/install.json
TEMPLATE := kernel/branchpoint/notebook/triage.ipynb
LABEXTENSIONS := .venv/share/jupyter/labextensions

.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help setup packages browser images demo demo-redis replayable notebook outputs \
    outputs-redis lab test test-all lint docs bench soak mutation corpus lock image-lock clean

help:
	@echo 'make setup   install what is missing: packages (with root or sudo), .venv, guest image'
	@echo 'make demo    setup, record the demo system until it fails, execute the notebook on it'
	@echo 'make demo-redis  the same with Redis, which loses acknowledged writes'
	@echo 'make lab     open JupyterLab on the executed notebook'
	@echo 'make test    setup, lint, and tests of about 20 minutes'
	@echo 'make test-all  all tests there are, in more than an hour'
	@echo 'make lint    ruff, mypy, eslint and tsc'
	@echo 'make docs    build the reference (HTML) from the docstrings, and the page of compose keys'
	@echo 'make outputs make the demo, and let its notebook be shipped with these outputs'
	@echo 'make outputs-redis  the same for the other notebook'
	@echo 'make bench   measure what notebooks/guide/figures.md states'
	@echo 'make soak    thousands of replays, compared bit for bit'
	@echo 'make mutation  change a hundred small things in the code: do the fast tests notice? (hours)'
	@echo 'make corpus CORPUS=folder  read its compose files as the reference implementation does?'
	@echo 'make lock    pin the packages of the machine that Debian has now, and the image they give'
	@echo 'make image-lock  pin the guest image anew, after a change of what it is built from'
	@echo 'make clean   remove build/ and caches of tools; keeps .venv and the cache of images'
	@echo
	@echo 'Variables: PYTHON=python3.12, DEMO_SEED=n (first seed to try), LAB_ARGS=--no-browser'

# -- set-up

setup: packages $(READY) $(EXTENSION) images

packages:
	@PYTHON=$(PYTHON) .ci/setup

browser:
	@PYTHON=$(PYTHON) .ci/setup --tests

$(READY): pyproject.toml $(wildcard kernel/kernelspec/*)
	@echo 'setup: Python environment in .venv'
	@$(PYTHON) -m venv .venv
	@SKIP_JUPYTER_BUILDER=1 $(BIN)/pip install --quiet --disable-pip-version-check \
	    --editable '.[notebook,cluster,export,dev]'
	@touch $@

$(LIBRARIES): $(READY) extension/package.json extension/package-lock.json
	@echo 'setup: libraries of the JupyterLab extension'
	@$(NPM) ci --loglevel=error --no-fund --no-audit
	@touch $@

# JupyterLab finds the built extension through a symbolic link: after a rebuild, nothing has to be
# installed again.
$(EXTENSION): $(LIBRARIES) $(TEMPLATE) $(shell find extension/src extension/schema extension/style extension/scripts -type f)
	@echo 'setup: JupyterLab extension and views'
	@$(NPM) --silent run build:prod
	@mkdir -p $(LABEXTENSIONS)
	@rm -rf $(LABEXTENSIONS)/branchpoint-lab
	@ln -s '$(CURDIR)/extension/labextension' $(LABEXTENSIONS)/branchpoint-lab

images:
	@$(BIN)/branchpoint image $(SYSTEM)

# -- demo

demo: setup replayable
	@$(MAKE) --silent $(RECORDED)
	@$(MAKE) notebook
	@echo
	@echo 'The recording:          $(RECORDING)  ($(BIN)/branchpoint open $(RECORDING))'
	@echo 'The executed notebook:  build/$(NOTEBOOK).ipynb'
	@echo 'The same as HTML:       build/$(NOTEBOOK).html'
	@echo 'Continue in JupyterLab: make lab'

demo-redis:
	@$(MAKE) demo $(REDIS)

# A recording made with another guest image or emulator is made again.
replayable:
	@if [ -e $(RECORDED) ] && ! $(BIN)/branchpoint run $(RECORDING) --at failure -- true; then \
	    echo 'demo: $(RECORDING) cannot be replayed on this computer; recording it again'; \
	    rm -f $(RECORDED); \
	fi

# Which seeds fail depends on the versions of the packages in the guest, so several seeds are tried.
$(RECORDED): $(shell find $(SYSTEM) -type f ! -path '*/__pycache__/*')
	@mkdir -p build
	@seed=$(DEMO_SEED); last=$$((seed + $(DEMO_SEEDS) - 1)); \
	while :; do \
	    echo "demo: recording $(SYSTEM), seed $$seed, until it fails, at most $(DEMO_TIME)"; \
	    rm -rf $(UNFINISHED); \
	    status=0; \
	    $(BIN)/branchpoint record $(SYSTEM) --output $(UNFINISHED) --seed $$seed \
	        --for $(DEMO_TIME) --until 'exit:*' >/dev/null || status=$$?; \
	    case $$status in \
	    0) break ;; \
	    3) [ $$seed -lt $$last ] || { \
	        echo "demo: it failed with no seed from $(DEMO_SEED) to $$last;" \
	            "to try more seeds, add DEMO_SEEDS=100" >&2; exit 1; } ;; \
	    *) exit $$status ;; \
	    esac; \
	    seed=$$((seed + 1)); \
	done
	@rm -rf $(RECORDING)
	@mv $(UNFINISHED) $(RECORDING)
	@touch $@

notebook:
	@echo 'demo: executing notebooks/$(NOTEBOOK).ipynb on $(RECORDING)'
	@BRANCHPOINT_RECORDING='$(CURDIR)/$(RECORDING)' $(BIN)/jupyter nbconvert --log-level WARN \
	    --to notebook --execute --ExecutePreprocessor.timeout=600 \
	    --KernelManager.transport_encryption=auto \
	    --ExecutePreprocessor.store_widget_state=False --ExecutePreprocessor.record_timing=False \
	    --output-dir build --output $(NOTEBOOK).ipynb notebooks/$(NOTEBOOK).ipynb
	@$(BIN)/python .ci/stamp.py build/$(NOTEBOOK).ipynb $(RECORDING)
	@$(BIN)/jupyter nbconvert --log-level WARN --to html --template-file .ci/page.html.j2 \
	    build/$(NOTEBOOK).ipynb

# What `make demo` has put out becomes what the shipped notebook shows.
outputs: demo
	@cp build/$(NOTEBOOK).ipynb notebooks/$(NOTEBOOK).ipynb

outputs-redis:
	@$(MAKE) outputs $(REDIS)

lab:
	@[ -e build/$(NOTEBOOK).ipynb ] || { \
	    echo 'lab: build/$(NOTEBOOK).ipynb does not exist yet; run: make demo' >&2; exit 1; }
	@$(BIN)/jupyter lab --ServerApp.root_dir='$(CURDIR)' \
	    --LabApp.default_url=/lab/tree/build/$(NOTEBOOK).ipynb \
	    $$([ "$$(id -u)" != 0 ] || echo --allow-root) $(LAB_ARGS)

# -- checks

# More versions of ipykernel to test the kernel with, in addition to the installed one.
$(BESIDE): $(READY)
	@echo 'setup: ipykernel $(notdir $@), for tests'
	@$(BIN)/pip install --quiet --no-deps --disable-pip-version-check --upgrade --target $@ \
	    'ipykernel==$(notdir $@).*'
	@touch $@

# pytest comes last, so that its summary line is the last line. Two processes share the test files:
# most tests wait for one emulator, and two busy emulators fill two cores.
test: setup browser lint
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m '$(MARKED)' $(TESTS)

# All there are: before a release, each night, and after a change of the machine.
test-all: MARKED =
test-all: setup $(BESIDE) test

lint: $(READY) $(LIBRARIES)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(NPM) --silent run lint

docs: $(READY)
	@$(BIN)/python -m branchpoint.system.compose.page > notebooks/guide/compose-keys.md
	@$(BIN)/pdoc --docformat restructuredtext --output-directory build/docs $(REFERENCE)
	@echo 'The reference of the public API: build/docs/branchpoint.html'

bench: setup
	@$(BIN)/python tests/bench/run.py --readme notebooks/guide/figures.md

soak: setup
	@$(BIN)/python tests/bench/run.py --only soak --soak

mutation: $(READY)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[mutation]'
	@$(BIN)/python tests/mutation/sample.py

corpus: $(READY)
	@[ -n '$(CORPUS)' ] || { echo 'corpus: name a folder: make corpus CORPUS=folder' >&2; exit 2; }
	@$(BIN)/python tests/corpus/compare.py '$(CORPUS)'

# -- the machine that a release states

lock: $(READY)
	@$(BIN)/python -c 'from branchpoint.guest import release; print(*release.relock(), sep="\n")'

image-lock: $(READY)
	@$(BIN)/python -c 'from branchpoint.guest import release; print(release.restate())'

clean:
	rm -rf build dist extension/build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './extension/node_modules/*' -prune -exec rm -rf {} +
