"""Making recordings."""
