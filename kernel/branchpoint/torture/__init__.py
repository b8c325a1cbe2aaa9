"""Systems made to find what a snapshot of the machine forgets, and how they are tried."""
