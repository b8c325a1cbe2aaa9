"""A recording packed into one file, and unpacked again."""
