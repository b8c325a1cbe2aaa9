"""Events: queries on them, how they are listed, how they are stored."""
