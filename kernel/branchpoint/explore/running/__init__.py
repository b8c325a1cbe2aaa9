"""Futures, run: one after the other, in all cores, on many computers."""
