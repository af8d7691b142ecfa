"""Who answers when the gateway is measured."""

from agent import Agent
from agent.rules import Intent, Rules


class Instant(Agent):
    """Measured by outside callers. It has no greeting: the first audio that a caller hears answers their own words."""

    greeting = ""


class Spoken(Agent):
    """Like `Instant`, but it always says a sentence, longer than a bench caller listens."""

    greeting = ""
    rules = Rules(
        intents=(
            Intent(
                "hours",
                phrases=("what are your opening hours", "when are you open"),
                reply="We are open from nine in the morning until five in the afternoon, Monday to Friday.",
            ),
            Intent("order", phrases=("where is my order", "track my order"), reply="Your order left our house today."),
        ),
        fallback="I am not sure that I understood you. You can ask for our opening hours, or where your order is.",
    )
