# The entry points. `make run` and `make test` work on a fresh clone on Debian 12 with Rust and install what is missing.
.PHONY: run test build bench check setup-run setup-test
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

build: setup-run
	cargo build --release --locked --bin sealgate --bin sealgate-gateway --bin sealgate-central

# Every test. The binaries that the tests start are built with them: apart, half of the dependencies would be built
# twice, since tests ask for further features of some.
test: setup-test
	cargo build --locked --workspace --bins --tests
	SEALGATE_PYTHON=$(PYTHON) SEALGATE_TOOLS=$(CURDIR)/.tools cargo nextest run --locked --workspace --no-fail-fast $(ARGS)

# Formatting, lints, documentation, licences, generated files.
check: setup-test
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
