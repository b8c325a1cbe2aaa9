"""Running futures: one after the other, on all cores, on many computers."""
