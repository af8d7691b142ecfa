"""What other programs are told while it happens: one catalogue of events, over webhooks and server-sent events."""
