"""What is measured, a package each: `speed`, `transfer` (what pre-training is worth), `faults` (what damage does)."""
