"""Compose files as text -> one tree of values with lines, and readers of these values."""
