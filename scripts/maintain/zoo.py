"""Assemble the self-contained form of the bundle that the MONAI model zoo and MONAI Label take.

python -m scripts.maintain.zoo --output_dir dist/zoo

`<name>/{LICENSE, configs, models, docs, crossd}`: the package lies beside the configs, so that
`python -m monai.bundle run` finds it without an installation. `models/model.ts` is made of `models/model.pt` and the
configs anew. Kept are the rules of the zoo (the files it demands, none above 25 MB) and of MONAI Label, which reads the
task from the folder's name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml
from crossd.bundle import check_version
from crossd.errors import CrossDError, in_one_line
from crossd.export import export_network
from crossd.files import replaced, sha256
from crossd.version import __version__

ROOT = Path(__file__).resolve().parents[2]
NAME = "crossd_vessel_classification"
TASK = "_classification"
LARGEST_FILE = 25 * 10**6  # bytes; larger ones the zoo wants by a link in large_files.yml
_PARTS = {  # in the bundle: where it is in the repository, and what of it is taken
    "configs": ("configs", ("**/*.json", "**/*.yaml", "*.conf")),
    "models": ("models", ("model.pt", "README.md")),
    "docs": ("docs", ("README.md", "data_license.txt")),  # the model card: no guide, no measurements
    "crossd": ("bundle/crossd", ("**/*.py", "**/*.css", "**/*.html", "**/*.js", "**/*.json")),
}
_NEEDED = (
    "LICENSE",
    "configs/metadata.json",
    "configs/inference.json",
    "configs/train.json",
    "configs/logging.conf",
    "models/model.pt",
    "docs/README.md",
    "docs/data_license.txt",
    "crossd/__init__.py",
)


def build_zoo_bundle(
    repository: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    name: str = NAME,
    large_files_url: str | None = None,
) -> Path:
    """Make what the bundle consists of in `output_dir/name`; an older build there is replaced at the end.

    Args:
        repository: the root of this repository, which is a bundle root too.
        output_dir: made where it is missing.
        name: of the bundle; ends in `_classification`.
        large_files_url: where files above 25 MB can be downloaded from, by their names. They go to
            `output_dir/<name>_large_files`, to be put there, and the bundle lists them in `large_files.yml`, from
            which MONAI fetches and checks them.

    Returns:
        The root of the new bundle.

    Raises:
        CrossDError: the name, a missing or too large file, a `metadata.json` of another version, or a model that
            cannot be exported to TorchScript.
    """
    repository, output_dir = Path(repository), Path(output_dir)
    if not name.endswith(TASK):
        raise CrossDError(f"The name of a classification bundle ends in {TASK!r}, got {name!r}. MONAI Label reads it.")
    check_version(str(repository))
    files = _files(repository)
    missing = [path for path in _NEEDED if Path(path) not in files]
    if missing:
        raise CrossDError(
            f"A zoo bundle needs {', '.join(missing)}; not found in {repository}. "
            "Run this on a complete checkout (configs/train.json makes models/model.pt)."
        )
    too_large = [path for path, source in files.items() if source.stat().st_size > LARGEST_FILE]
    if too_large and large_files_url is None:
        raise CrossDError(
            f"The model zoo takes files up to {LARGEST_FILE / 1e6:.0f} MB; {too_large[0]} has "
            f"{files[too_large[0]].stat().st_size / 1e6:.1f} MB. Use a narrower network, or say where it will be "
            "downloaded from: --large_files_url URL."
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".building-") as unfinished:
        bundle = Path(unfinished) / name
        for path, source in files.items():
            target = bundle / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        export_network(repository / "models" / "model.pt", "torchscript", bundle / "models", bundle=repository)
        outside = _set_aside(bundle, large_files_url)
        for made in (bundle, outside):
            shutil.rmtree(output_dir / made.name, ignore_errors=True)
            if made.exists():
                made.rename(output_dir / made.name)
    return output_dir / name


def _set_aside(bundle: Path, url: str | None) -> Path:
    """Move the files above the limit to `<name>_large_files`, and list them in `large_files.yml` as the zoo does."""
    outside = bundle.with_name(f"{bundle.name}_large_files")
    listed = []
    for file in sorted(bundle.rglob("*")):
        if not file.is_file() or file.stat().st_size <= LARGEST_FILE:
            continue
        path = file.relative_to(bundle).as_posix()
        if url is None:  # model.ts, whose size is known only now
            raise CrossDError(
                f"The model zoo takes files up to {LARGEST_FILE / 1e6:.0f} MB; {path} has "
                f"{file.stat().st_size / 1e6:.1f} MB. Say where it will be downloaded from: --large_files_url URL."
            )
        address = f"{url.rstrip('/')}/{file.name}"
        listed.append({"path": path, "url": address, "hash_val": sha256(file), "hash_type": "sha256"})
        outside.mkdir(exist_ok=True)
        file.rename(outside / file.name)
    if listed:
        (bundle / "large_files.yml").write_text(yaml.safe_dump({"large_files": listed}, sort_keys=False))
    return outside


def zip_bundle(bundle: str | os.PathLike[str], output_dir: str | os.PathLike[str]) -> Path:
    """Zip a bundle as `monai.bundle.download` unpacks it: `<name>_v<version>.zip` with the one folder `<name>`.

    Equal bundles give equal bytes: entries are sorted and carry no times.

    Returns:
        The file.
    """
    bundle, output_dir = Path(bundle), Path(output_dir)
    target = output_dir / f"{bundle.name}_v{__version__}.zip"
    with replaced(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            entry = zipfile.ZipInfo(f"{bundle.name}/{file.relative_to(bundle).as_posix()}")
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return target


def _files(repository: Path) -> dict[Path, Path]:
    """Path in the bundle → file in the repository."""
    files = {}
    if (repository / "LICENSE").is_file():
        files[Path("LICENSE")] = repository / "LICENSE"
    for part, (folder, patterns) in _PARTS.items():
        for pattern in patterns:
            for source in sorted((repository / folder).glob(pattern)):
                files[Path(part) / source.relative_to(repository / folder)] = source
    return files


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="dist/zoo", help="the bundle goes to OUTPUT_DIR/NAME")
    parser.add_argument("--name", default=NAME, help="ends in _classification; default: %(default)s")
    parser.add_argument("--large_files_url", help="where files above 25 MB will be downloaded from, by their names")
    parser.add_argument("--zip", metavar="DIR", help="zip it too, as monai.bundle.download takes it")
    arguments = parser.parse_args()
    bundle = build_zoo_bundle(ROOT, arguments.output_dir, arguments.name, arguments.large_files_url)
    zipped = zip_bundle(bundle, arguments.zip) if arguments.zip else None
    files = [path for path in bundle.rglob("*") if path.is_file()]
    print(f"{bundle}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
    large = bundle / "large_files.yml"
    if large.is_file():
        print(f"upload {bundle}_large_files/ to {arguments.large_files_url}: {large} names its files")
    if zipped:
        print(f"{zipped}: {zipped.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
