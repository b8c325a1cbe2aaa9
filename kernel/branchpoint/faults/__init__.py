"""What can go wrong, as actions of the guest, and the plan by which its injector draws it."""
