"""Live events for other programs: one catalogue, over webhooks and server-sent events."""
