"""What can be concluded from how many futures failed."""
