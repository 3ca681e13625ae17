#!/usr/bin/env bash
# Runs Ceph's test suite for S3 directly and through the gateway, and writes docs/CONFORMANCE.md; `make conformance` calls it.
#   S3TESTS_DIR    a checkout of ceph/s3-tests, of the branch that fits the RGW: git clone -b ceph-reef https://github.com/ceph/s3-tests
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${S3TESTS_DIR:-}
[ -f "$suite/requirements.txt" ] || { echo "conformance: S3TESTS_DIR must be a checkout of ceph/s3-tests" >&2; exit 1; }

# The suite's own Python: branches up to reef break with today's botocore.
pins=()
[ ! -d "$suite/s3tests_boto3" ] || pins=('boto3<1.25' 'botocore<1.28')
dir=.tools/s3tests
wanted=$(cat "$suite/requirements.txt"; printf '%s\n' "${pins[@]}")
if [ "$(cat "$dir/.installed" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$dir"; python3 -m venv "$dir"
  "$dir/bin/python" -m pip install -q --disable-pip-version-check \
    -r "$suite/requirements.txt" pytest pytest-xdist pytest-timeout "${pins[@]}" >&2
  printf '%s' "$wanted" >"$dir/.installed"
fi
exec "${CARGO_TARGET_DIR:-target}/debug/conformance" --s3tests "$suite" --python "$PWD/$dir/bin/python" "$@"
