"""Faults: their actions in the guest, and the plan from which its injector draws them."""
