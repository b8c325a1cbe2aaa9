"""Which code is named as being at fault, where that is known."""
