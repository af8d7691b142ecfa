"""Calls that we place: the order, the decision, and the worker."""
