"""The search for failures: an exploration of the futures that a system may have."""
