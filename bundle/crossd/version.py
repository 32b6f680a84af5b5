"""The one place where the package version is written; `metadata.json` and CHANGELOG must agree with it (tested)."""

__version__ = "0.1.0"
