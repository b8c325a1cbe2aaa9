"""Packages of the guest's Debian release, fetched without root and without the host's database."""
