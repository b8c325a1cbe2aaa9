"""Reads compose files."""
