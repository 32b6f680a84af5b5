"""The command `crossd`: what each config runs and each tool does, by one name."""

from crossd.cli.main import main

__all__ = ["main"]
