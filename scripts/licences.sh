#!/bin/sh
# Checks what the workspace links against deny.toml: banned crates, licences, sources.
# Installs cargo-deny where it is missing.
set -eu
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "licences: installing cargo-deny" >&2
    cargo install --locked cargo-deny --version 0.20.2
fi
exec cargo deny --locked check bans licenses sources
