"""Which code runs in failing futures and not in passing ones, or the other way round."""
