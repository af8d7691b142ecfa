"""One module a schema revision; `down_revision` chains them."""
