"""Proofs that recordings and notebooks replay."""
