"""What is measured: `speed`, `transfer` (what pre-training is worth), `faults` (what damage does), `many_cases`."""
