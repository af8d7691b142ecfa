"""Who talks in the calls that bench/phones.yaml places."""

from agent import Agent


class Caller(Agent):
    """Greets with the tone of the instant TTS, once media flows."""

    greeting = "Hello."
