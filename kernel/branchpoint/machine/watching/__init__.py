"""Plugins beside the timekeeper that tell which code of the containers' programs runs."""
