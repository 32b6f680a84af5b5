"""What benchmarks with stored runs share: grid, schedule, store, recipe, the weights that runs start from, tables."""
