"""What runs in the guest: OCI bundles, set-up, the system image."""
