"""Is history the same each time? Thousands of replays, branches and instants."""
