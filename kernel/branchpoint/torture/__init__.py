"""Systems that reveal what a snapshot of the machine does not save, and tests with them."""
