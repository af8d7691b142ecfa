"""Phones that are registered with our own registrar."""
