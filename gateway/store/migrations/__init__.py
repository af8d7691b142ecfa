"""Alembic's environment and its revisions, shipped as part of the package and applied when a store is opened."""
