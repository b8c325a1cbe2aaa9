"""From the text of a compose file to what it means."""
