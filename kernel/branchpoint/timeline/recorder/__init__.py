"""Recordings in the making."""
