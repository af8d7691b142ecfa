"""A family clinic: a receptionist who books appointments, a billing desk, and what is said after hours.

It works offline, by `rules`, and with a language model, by the docstrings. The calendar lives as long as the call.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from agent import Agent, DigitEntry, EndCall, Intent, Rules, RunContext, Slot, ToolError, function_tool

Part = Literal["morning", "afternoon"]

DAYS = ("today", "tomorrow", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
FREE_TIMES: dict[str, tuple[str, ...]] = {
    "morning": ("9:30", "10:15", "11:40"),
    "afternoon": ("2:00", "3:30", "4:45"),
}
FAREWELL = "Thank you for calling Sunrise Clinic. Goodbye!"
GOODBYE = Intent(
    "goodbye",
    (
        "[thank you] goodbye",
        "[thanks] bye [bye]",
        "(no|no thanks|no thank you) (goodbye|bye)",
        "[no] (that's|that is) all [thank you|thanks]",
        "that will be all [thank you|thanks]",
        "[no] (that's|that is) (it|everything) [thank you|thanks]",
    ),
    tool="end_call",
    reply=FAREWELL,
)


def _day(said: str) -> str:
    for day in DAYS:
        if day.lower() == said.strip().lower():
            return day
    raise ToolError(f"There are no appointments on {said}. Days are: {', '.join(DAYS)}.")


class Reception(Agent):
    """You answer the phone of Sunrise Clinic, a family clinic. Be brief and kind: one or two short sentences.

    To book, find out the day and whether mornings or afternoons suit, look up free_slots, offer the earliest, and call
    book only after the caller has agreed. Never make up a time. Opening hours: Monday to Friday, eight to six.
    For invoices use billing_question. When the caller is done, say goodbye and use end_call.
    """

    greeting = "Sunrise Clinic, how can I help?"
    canned: Mapping[str, str] = {
        "unavailable": "I'm sorry, I can't look that up just now. Please try again in a moment.",
        "goodbye": FAREWELL,
    }
    rules = Rules(
        intents=(
            Intent(
                "appointment",
                (
                    "(i'd like|i would like|i want|i need|can i get|could i get) an appointment [for] [{day}] [{part}]",
                    "(i'd like|i would like|i want|i need) to (book|make) an appointment [for] [{day}] [{part}]",
                    "(can|could) i (book|make) an appointment [for] [{day}] [{part}]",
                    "do you have (anything|an appointment) [free] [{day}] [{part}]",
                    "is there anything free {day} [{part}]",
                    "(i'd like|i want|i need) to (see|visit) (a|the) doctor [{day}] [{part}]",
                    "(can|could) i (see|visit) (a|the) doctor [{day}] [{part}]",
                    "(what|how) about {day} [{part}]",
                    "[on] {day} [in the] [{part}]",
                    "[in] [the] {part}",
                ),
                slots=("day", "part"),
                tool="free_slots",
                reply="For {day} {part} I have {result}. Shall I book the first one?",
                on_error="I'm sorry, we have nothing free then. What about another day?",
            ),
            Intent(
                "accept",
                (
                    "yes",
                    "yes book it",
                    "[yes] (that's|that is) (fine|great|good|perfect)",
                    "(okay|sure|great|perfect)",
                    "(that|that one|the first one) (works|sounds good)",
                    "[yes] the first one",
                    "book (it|that one)",
                    "go ahead",
                    "[yes] please do",
                    "sounds good",
                    "that (would|will) be (great|fine|good|perfect)",
                ),
                tool="book",
                reply="You are booked for {result}. Is there anything else?",
                on_error="What can I do for you?",
            ),
            Intent(
                "decline",
                ("no [thanks|thank you]", "not really", "[i'd] rather not", "(that|it) (doesn't|does not) work"),
                tool="caller_says_no",
                reply="{result}",
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
                    "billing",
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
        name = _day(day)
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
        slot = (_day(day) if day else self._offered[0], time.strip() or self._offered[1])
        if slot in self._booked or not any(slot[1] in times for times in FREE_TIMES.values()):
            raise ToolError(f"{slot[1]} on {slot[0]} is not free.")
        self._booked.append(slot)
        self._offered = None
        return f"{slot[0]} at {slot[1]}"

    @function_tool
    async def caller_says_no(self, ctx: RunContext) -> str | EndCall:
        """The caller turns down the time that was offered, or wants nothing else: then the call ends."""
        if self._offered is not None:
            self._offered = None
            return "All right. Which other day would suit you?"
        return EndCall(FAREWELL)

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
                ("[i'd like|i need|i want] an appointment", "[back to] reception"),
                tool="reception",
            ),
            replace(GOODBYE, phrases=(*GOODBYE.phrases, "no [thanks|thank you]")),
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
        return Reception(), "You are back at reception. How can I help?"
