# The entry points. `make run` and `make test` work on a fresh clone on Debian 12 with Rust and install what is missing.
.PHONY: run test build bench check conformance console openapi setup-run setup-test
.DEFAULT_GOAL := build
SHELL := /bin/bash

ARGS ?=
PYTHON := $(CURDIR)/.tools/python/bin/python

setup-run:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

# Starts everything on this machine: make run ARGS="--data DIR --port-base N".
run: build
	@target/release/sealgate dev $(ARGS)

build: setup-run console
	cargo build --release --locked --bin sealgate --bin sealgate-gateway --bin sealgate-central

# The web consoles, which the binaries embed; done again when one of their files has changed.
CONSOLE := dashboards/console
NPM := PATH="$(CURDIR)/.tools/node/bin:$$PATH" npm --prefix $(CONSOLE)
CONSOLE_FILES := $(shell find $(CONSOLE) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/generated/*')

console: $(CONSOLE)/dist/.built

$(CONSOLE)/node_modules/.installed: $(CONSOLE)/package-lock.json | setup-run
	$(NPM) ci --no-fund --no-audit
	@touch $@

$(CONSOLE)/dist/.built: $(CONSOLE)/node_modules/.installed $(CONSOLE_FILES)
	$(NPM) run build
	@touch $@

# Brings the documents of the interfaces, which the consoles' clients are made of, up to date.
openapi: setup-test
	SEALGATE_UPDATE_SNAPSHOTS=1 cargo nextest run --locked -p central -p gateway the_checked_in_document

# Every test. The binaries that the tests start are built with them: apart, half of the dependencies would be built
# twice, since tests ask for further features of some.
test: setup-test console
	$(NPM) test
	cargo build --locked --workspace --bins --tests
	SEALGATE_PYTHON=$(PYTHON) SEALGATE_TOOLS=$(CURDIR)/.tools cargo nextest run --locked --workspace --no-fail-fast $(ARGS)

# Formatting, lints, documentation, licences, generated files.
check: setup-test console
	$(NPM) run check
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	scripts/licences.sh
	scripts/sqlx-prepare.sh --check

# Also in bench/results/, named by time and commit; the first line says which machine it was.
bench: build
	cargo build --release --locked -p bench
	@mkdir -p bench/results
	@set -o pipefail; target/release/bench all $(ARGS) | \
		tee bench/results/$$(date -u +%Y%m%dT%H%M%SZ)-$$(git rev-parse --short HEAD 2>/dev/null || echo none).jsonl

# Ceph's test suite for S3, directly and through the gateway, into docs/CONFORMANCE.md: make conformance S3TESTS_DIR=…
conformance: setup-test console
	cargo build --locked --workspace --bins --tests
	S3TESTS_DIR="$(S3TESTS_DIR)" scripts/conformance.sh $(ARGS)
