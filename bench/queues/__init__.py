"""A day of human queues, simulated: callers, members and gateways are made up; decisions and book are the real ones."""
