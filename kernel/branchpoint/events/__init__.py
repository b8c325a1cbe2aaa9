"""What happened: events, questions about them, how they are listed and kept."""
