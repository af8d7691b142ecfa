"""Calls that we place: what is asked, what is decided, and which worker has them."""
