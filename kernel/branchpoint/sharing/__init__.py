"""Sharing recordings: bundles, proofs that they replay, reports."""
