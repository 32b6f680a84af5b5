"""What maintainers run from a clone: `benchmarks` measure, `maintain` releases. The other scripts are for users."""
