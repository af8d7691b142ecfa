"""Transfers of a call's customer to somebody else."""
