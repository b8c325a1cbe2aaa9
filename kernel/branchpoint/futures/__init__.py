"""Many futures of one past: how likely a failure is from where, since when, and why."""
