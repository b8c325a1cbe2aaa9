"""What a search finds, how fast, and what it costs to look."""
