"""Mutants of all data that strangers send us, and how they are handled."""
