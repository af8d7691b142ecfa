"""Calls in LiveKit rooms: what the call worker does there, tokens for people, and the watch over the server."""
