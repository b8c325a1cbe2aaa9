"""Is what curves and contrasts claim true? Asked where the answer is known."""
