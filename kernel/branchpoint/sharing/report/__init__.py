"""A recording in the forms of others: a page, a trace, a table."""
