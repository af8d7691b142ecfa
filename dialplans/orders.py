"""A book shop's order line: say or key in the order number, hear where the parcel is."""

from agent import Agent, DigitEntry, Intent, Rules, RunContext, Slot, ToolError, function_tool

ORDERS = {
    "29340": "was sent on Monday and will be with you tomorrow",
    "48115": "is being packed and goes out today",
    "70526": "was delivered this morning",
}


class OrderStatus(Agent):
    """You answer the order line of Corner Books. Be brief. Ask for the five-digit order number (spoken or keyed), look
    it up with order_status, and say what it says. Never guess. When the caller is done, say goodbye and use end_call.
    """

    greeting = "Corner Books. Please say or key in your five digit order number."
    digits = DigitEntry(length=5)
    rules = Rules(
        intents=(
            Intent(
                "status",
                (
                    "{order}",
                    "(it's|it is) [number] {order}",
                    "[my] order [number] [is] {order}",
                    "(i'm|i am) calling about [my] order [number] [{order}]",
                    "(where is|where's) my (order|parcel|package|book)",
                    "(i'd like|i want) to (track|check) (my|an) order",
                    "my (order|parcel|package|book) has not (arrived|come)",
                    "(can|could) you check (my|an) order",
                    "[yes] (another|one more) (order|one)",
                ),
                slots=("order",),
                tool="order_status",
                reply="Order {order} {result}. Can I check another one for you?",
                on_error="I can't find that number. Please say or key in the five digits again.",
            ),
            Intent("again", ("yes", "(sure|okay)"), reply="Please say or key in the order number."),
            Intent(
                "goodbye",
                (
                    "no [thanks|thank you] [goodbye|bye]",
                    "[thank you|thanks] (goodbye|bye) [bye]",
                    "[no] (that's|that is) all [thanks|thank you]",
                ),
                tool="end_call",
                reply="Thank you for calling Corner Books. Goodbye!",
            ),
        ),
        slots={"order": Slot("What is your five digit order number?", digits=(5, 5))},
        fallback="Sorry, I didn't catch that. Please say the order number one digit at a time, or key it in.",
    )

    @function_tool
    async def order_status(self, ctx: RunContext, order: str) -> str:
        """Look up where an order is.

        Args:
            order: The order number: five digits.
        """
        if order not in ORDERS:
            raise ToolError(f"There is no order {order}.")
        return ORDERS[order]
