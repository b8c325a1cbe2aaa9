"""A recording as one file, there and back."""
