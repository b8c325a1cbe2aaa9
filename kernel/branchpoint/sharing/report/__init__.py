"""A recording in formats of other programs: a page, a trace, a table."""
