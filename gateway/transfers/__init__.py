"""Bringing the customer of a call to somebody else."""
