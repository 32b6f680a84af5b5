#!/usr/bin/env bash
# Install the wheel of a release in a clean environment, away from the repository, and run there what its users run first:
# the examples of README.md, and the bundle of the zoo zip on a made volume.
#   scripts/maintain/check_release.sh RELEASE     a folder made by `make release`
# PYTHON is the interpreter of the environment (default: python3); TORCH_INDEX an index to take torch from.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
release=$(cd "${1:?the folder of a release}" && pwd)
(cd "$release" && sha256sum --check --strict --quiet SHA256SUMS) # also fails where the file is missing

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv environment
python=$work/environment/bin/python
pip=("$python" -m pip install --quiet --disable-pip-version-check --constraint "$repository/constraints.txt")
"${pip[@]}" torch==2.13.0 ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"${pip[@]}" "$release"/crossd-*.whl
"$python" -m pip check --disable-pip-version-check
unset PYTHONPATH

"$python" -m zipfile --extract "$release"/*_classification_v*.zip zoo
bundle=$(echo zoo/*_classification)
mkdir example && cp -r "$bundle/models" "$bundle/configs" example && cd example # without the copy of crossd in the bundle
cat > readme.py <<'PYTHON'
import pathlib, re, sys
import crossd
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom

assert pathlib.Path(crossd.__file__).is_relative_to(sys.prefix), f"crossd is imported from {crossd.__file__}"
write_nifti("scans/a.nii.gz", vessel_phantom(0, aneurysm=True))
blocks = re.findall(r"^```python\n(.*?)^```$", pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"), re.M | re.S)
assert blocks, "README.md has no Python example"
names = {"__name__": "readme"}
for block in blocks:
    exec(compile(block, "README.md", "exec"), names)
PYTHON
"$python" readme.py "$repository/README.md"

mkdir "$work/elsewhere" && cd "$work/elsewhere" # the wheel alone, without a bundle beside it
"$work/environment/bin/crossd" demo --cases 1
test -s demo/output/report.html

cd "$work"
"$python" -m monai.bundle run --config_file "$work/$bundle/configs/inference.json" --images example/scans --output_dir out
cat out/predictions.csv
grep --quiet ',ok,' out/predictions.csv
test -s out/report.html
echo "check-release: $(basename "$release"/crossd-*.whl) and $(basename "$bundle") run in a clean environment"
