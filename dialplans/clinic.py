"""A family clinic: a receptionist who books appointments, a billing desk, and what is said after hours.

It works offline, by `rules`, and with a language model, by the docstrings. The calendar lives as long as the call.
"""

from typing import ClassVar, Literal

from agent import Agent, RunContext, ToolError, function_tool
from agent.rules import Intent, Rules, Slot
from agent.turns.digits import DigitEntry

Part = Literal["morning", "afternoon"]

DAYS = ("today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday")
FREE_TIMES: dict[str, tuple[str, ...]] = {
    "morning": ("9:30", "10:15", "11:40"),
    "afternoon": ("2:00", "3:30", "4:45"),
}
GOODBYE = Intent(
    "goodbye",
    (
        "[thank you] goodbye",
        "[thanks] bye [bye]",
        "(no|no thanks|no thank you) (goodbye|bye)",
        "[no] that's all [thank you|thanks]",
        "[no] that is all [thank you|thanks]",
        "that will be all [thank you|thanks]",
    ),
    tool="end_call",
    reply="Thank you for calling Sunrise Clinic. Goodbye!",
)


class Reception(Agent):
    """You answer the phone of Sunrise Clinic, a family clinic. Be brief and kind: one or two short sentences.

    To book, find out the day and whether mornings or afternoons suit, look up free_slots, offer the earliest, and call
    book only after the caller has agreed. Never make up a time. Opening hours: Monday to Friday, eight to six.
    For invoices use billing_question. When the caller is done, say goodbye and use end_call.
    """

    greeting = "Sunrise Clinic, how can I help?"
    canned: ClassVar[dict[str, str]] = {
        "unavailable": "I'm sorry, I can't look that up just now. Please try again in a moment.",
        "goodbye": "Thank you for calling Sunrise Clinic. Goodbye!",
    }
    rules = Rules(
        intents=(
            Intent(
                "appointment",
                (
                    "[hello|hi] (i'd like|i would like|i want|i need|can i get|could i get) an appointment "
                    "[for] [{day}] [{part}] [please]",
                    "[hello|hi] (i'd like|i would like|i want|i need) to (book|make) an appointment "
                    "[for] [{day}] [{part}] [please]",
                    "(can|could) i (book|make) an appointment [for] [{day}] [{part}] [please]",
                    "do you have (anything|a free appointment|an appointment) [free] [{day}] [{part}]",
                    "(is there|have you got) anything [free] {day} [{part}]",
                    "(what about|how about) {day} [{part}] [please]",
                    "[on] {day} [in the] {part} [please]",
                    "[on] {day} [please]",
                    "[in] the {part} [please]",
                    "{part} [please]",
                ),
                slots=("day", "part"),
                tool="free_slots",
                reply="For {day} {part} I have {result}. Shall I book the first one?",
                on_error="I'm sorry, we have nothing free then. What about another day?",
            ),
            Intent(
                "accept",
                (
                    "yes [please]",
                    "yes [please] book it",
                    "(that's|that is) (fine|great|good|perfect)",
                    "(okay|sure|great|perfect) [please]",
                    "(that|the first one) (works|sounds good)",
                    "[yes] the first one [please]",
                    "(please book it|book it please|book that one)",
                ),
                tool="book",
                reply="You are booked for {result}. Is there anything else?",
                on_error="Which day would suit you?",
            ),
            Intent(
                "decline",
                ("no [thanks|thank you]", "not really", "no [that|it] does not work"),
                reply="All right. Is there anything else I can do for you?",
            ),
            Intent(
                "hours",
                (
                    "(what are|tell me) your [opening] hours",
                    "when (are you|do you) open",
                    "what time do you (open|close)",
                    "are you open (today|tomorrow)",
                ),
                reply="We are open Monday to Friday, from eight to six.",
            ),
            Intent(
                "place",
                ("where are you [located]", "(what is|what's) your address", "how do i (find|get to) you"),
                reply="We are at twelve Park Street, next to the library.",
            ),
            Intent(
                "billing",
                (
                    "[i have] a question about (my|a|an) (bill|invoice)",
                    "(it's|it is) about (my|a|an) (bill|invoice)",
                    "(i'd like|i want|i need) to (pay|ask about) (my|a) bill",
                    "billing [please]",
                ),
                tool="billing_question",
            ),
            GOODBYE,
        ),
        slots={
            "day": Slot("Which day would you like?", {day: day for day in DAYS}),
            "part": Slot("Morning or afternoon?", {"morning": "morning", "afternoon": "afternoon"}),
        },
        fallback="Sorry, I didn't catch that. I can book an appointment or answer a question about opening hours.",
    )

    def __init__(self) -> None:
        super().__init__()
        self._booked: list[tuple[str, str]] = []
        self._offered: tuple[str, str] | None = None  # day and time

    @function_tool
    async def free_slots(self, ctx: RunContext, day: str, part: Part) -> str:
        """List the free appointment times of a day, the earliest first.

        Args:
            day: "today", "tomorrow", or a day of the week in English.
            part: Which half of the day.
        """
        name = day.strip().lower()
        if name not in DAYS:
            raise ToolError(f"There are no appointments on {day}. Days are: {', '.join(DAYS)}.")
        free = [time for time in FREE_TIMES[part] if (name, time) not in self._booked]
        if name == "today" or not free:
            raise ToolError(f"Nothing is free {day} in the {part}.")
        self._offered = (name, free[0])
        return f"{', '.join(free[:-1])} and {free[-1]}" if len(free) > 1 else free[0]

    @function_tool
    async def book(self, ctx: RunContext, day: str = "", time: str = "") -> str:
        """Book an appointment that free_slots has listed and the caller has agreed to.

        Args:
            day: As it was given to free_slots. Empty: the day that was offered last.
            time: As free_slots said it. Empty: the earliest time of that day that was offered.
        """
        if self._offered is None:
            raise ToolError("Nothing has been offered yet: ask for the day and use free_slots first.")
        slot = (day.strip().lower() or self._offered[0], time.strip() or self._offered[1])
        known = slot[0] in DAYS and any(slot[1] in times for times in FREE_TIMES.values())
        if not known or slot in self._booked:
            raise ToolError(f"{slot[1]} on {slot[0]} is not free.")
        self._booked.append(slot)
        self._offered = None
        return f"{slot[0]} at {slot[1]}"

    @function_tool
    async def billing_question(self, ctx: RunContext) -> tuple[Agent, str]:
        """The caller asks about a bill or an invoice: hand over to the billing desk."""
        return Billing(), "One moment, I'll get our billing desk. Please say or key in your six digit invoice number."


class AfterHours(Agent):
    """You are the answering machine of Sunrise Clinic: say when it is open, and end the call."""

    greeting = "Sunrise Clinic is closed now."

    async def on_enter(self, ctx: RunContext) -> None:
        """The message is the whole call: nobody is there to listen."""
        ctx.session.end("agent_ended", "We are open Monday to Friday, from eight to six. Please call again. Goodbye!")


class Billing(Agent):
    """You are the billing desk of Sunrise Clinic. Be brief. Ask for the six-digit invoice number, read its state from
    invoice_state, and never guess an amount. For appointments use reception."""

    digits = DigitEntry(length=6)
    rules = Rules(
        intents=(
            Intent(
                "invoice",
                (
                    "{invoice}",
                    "[it is|it's] [number] {invoice}",
                    "[my] invoice [number] [is] {invoice}",
                    "[i have] a question about my (bill|invoice)",
                    "(another|one more) invoice",
                ),
                slots=("invoice",),
                tool="invoice_state",
                reply="{result} Is there anything else?",
                on_error="I can't find that invoice. Please say or key in the six digits again.",
            ),
            Intent(
                "appointment",
                ("[i'd like|i need|i want] an appointment [please]", "[back to] reception [please]"),
                tool="reception",
            ),
            Intent("decline", ("no [thanks|thank you]",), reply="All right. You can hang up now, or ask me more."),
            GOODBYE,
        ),
        slots={"invoice": Slot("Please say or key in your six digit invoice number.", digits=(6, 6))},
    )

    @function_tool
    async def invoice_state(self, ctx: RunContext, invoice: str) -> str:
        """Look up whether an invoice is paid.

        Args:
            invoice: Six digits.
        """
        if not (len(invoice) == 6 and invoice.isdecimal()):
            raise ToolError(f"{invoice} is no invoice number: those have six digits.")
        if int(invoice[-1]) % 2:
            return "That invoice is paid. Thank you."
        return "That invoice is open. You have until the end of the month."

    @function_tool
    async def reception(self, ctx: RunContext) -> tuple[Agent, str]:
        """The caller wants an appointment or anything else that is not about invoices."""
        return Reception(), "I'll put you back to reception. How can they help?"
