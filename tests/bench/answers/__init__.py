"""Are the claims of curves and contrasts true? Tested where the answer is known."""
