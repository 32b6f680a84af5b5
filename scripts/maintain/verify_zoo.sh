#!/usr/bin/env bash
# Run the model zoo's own checks (ci/verify_bundle.py, full mode) on a bundle, without network.
#   scripts/maintain/verify_zoo.sh ZOO BUNDLE
#     ZOO     a checkout of https://github.com/Project-MONAI/model-zoo
#     BUNDLE  a bundle made by `make bundle`
# PYTHON is the interpreter that has monai installed (default: python3).
set -euo pipefail
zoo=${1:-} bundle=${2:-} python=${PYTHON:-python3}
schema="$(cd "$(dirname "$0")/../.." && pwd)/tests/data/meta_schema_20240725.json"

if [[ -z $zoo ]]; then
    echo "verify-zoo skipped: ZOO is not set. Give it a checkout of https://github.com/Project-MONAI/model-zoo:"
    echo "  make verify-zoo ZOO=../model-zoo"
    exit 0
fi
if [[ ! -f $zoo/ci/verify_bundle.py ]]; then
    echo "verify-zoo: $zoo/ci/verify_bundle.py is missing, so ZOO is not a checkout of the model zoo" >&2
    exit 1
fi

name=$(basename "$bundle")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/models/$name/eval"
cp -r "$zoo/ci" "$work/ci"
cp "$zoo/models/model_info.json" "$work/models/"
cp -r "$bundle/." "$work/models/$name/"
cp "$schema" "$work/models/$name/eval/schema.json" # the check downloads the schema only where this file is absent
cd "$work"
# an empty network namespace: nothing can be downloaded
PYTHONPATH=ci unshare --map-root-user --net "$python" ci/verify_bundle.py --b "$name" --p models --mode full
echo "verify-zoo: $name passed the model zoo's checks (full mode, no network)"
