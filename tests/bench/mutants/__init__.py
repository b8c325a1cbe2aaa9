"""Mutants of everything that strangers send us, and what becomes of them."""
