"""Who answers when the gateway is measured."""

from agent import Agent


class Instant(Agent):
    """Measured by outside callers. It has no greeting: the first audio that a caller hears answers their own words."""

    greeting = ""
