"""Recordings on their way to others: bundles, proofs that they replay, reports."""
