"""Human queues: who waits, who is offered to whom. Decisions are pure; the state is the store's."""
