"""What callers key in that only the persona may see. Everything that leaves a session (events for records, logs, rooms
and fixtures, snapshots for another process) goes through here. Pure, except for the list of secrets that logs hide.

The persona, its tools and its model get the keyed digits: they asked for them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from agent.events import AgentMessage, SessionEvent, UserMessage
from agent.masking import (
    CARD_DIGITS,
    MASK,
    digit_runs,
    mask_digits_in,
    mask_json,
    mask_text,
    mask_value,
    mask_words,
)
from agent.turns.digits import DigitEntry

__all__ = ["MaskLevel", "Privacy", "hide_secrets"]

MaskLevel = Literal["secret", "cards", "all"]

_TOLD = frozenset({"text", "full_text", "arguments", "output", "result", "error", "reason", "details"})
_CLEAR_KEYS = 4  # of a possible card number: as many as are printed on receipts
_RUN_GAP_S = 20.0  # a longer pause begins another run
_LEAST_SAID = 4  # digits; fewer are amounts and days
_MOST_SECRETS = 50  # of one call
_in_use: Counter[str] = Counter()  # secrets of this process's live sessions


def hide_secrets(text: str) -> str:
    """For logs: hide what callers of this process have keyed in secretly, during their calls."""
    return mask_text(text, _in_use, cards=False) if _in_use else text


@dataclass(slots=True)
class _Run:
    """Keys whose number is not known in advance."""

    text: str = ""
    last_at: float = 0.0


class Privacy:
    """`level`: `secret` hides what a persona declares (`DigitEntry(secret=True)`); `cards` also possible card numbers,
    keyed or spoken: twelve digits or more; `all` every key."""

    def __init__(self, level: MaskLevel = "cards") -> None:
        self.level = level
        self.secret = False  # a task asks for something secret: nothing keyed or said meanwhile is told
        self._secrets: dict[str, None] = {}  # in order
        self._run = _Run()
        self._said_secretly = ""  # spoken instead of keyed, most recently
        self._closed = False

    def hides(self, entry: DigitEntry | None) -> bool:
        """Whether keys of `entry` are hidden from the first one on."""
        if self.secret or (entry is not None and entry.secret) or self.level == "all":
            return True
        return self.level == "cards" and entry is not None and (entry.length or 0) >= CARD_DIGITS

    def key(self, digit: str, entry: DigitEntry | None, at: float) -> str:
        """One key as others may see it."""
        if self.hides(entry):
            return MASK
        if self.level == "secret" or (entry is not None and entry.length is not None):
            return digit
        run = self._run
        run.text = run.text + digit if run.text and at - run.last_at < _RUN_GAP_S else digit
        run.last_at = at
        if len(run.text) >= CARD_DIGITS:
            self.keep(run.text)
        return digit if len(run.text) <= _CLEAR_KEYS else MASK

    def entered(self, text: str, entry: DigitEntry | None) -> None:
        """An entry is complete: from now on its digits are masked in everything that leaves the session."""
        self._run = _Run()
        if self.hides(entry) or (self.level == "cards" and len(text) >= CARD_DIGITS):
            self.keep(text)

    def said(self, text: str, entry: DigitEntry | None) -> None:
        """Spoken instead of keyed: a caller asked for a PIN may say it."""
        if self.secret or (entry is not None and entry.secret):
            self._said_secretly = text
            for run in digit_runs(text):
                if len(run) >= _LEAST_SAID:
                    self.keep(run)

    def masked(self, event: SessionEvent) -> SessionEvent:
        """The event as others may see it."""
        if isinstance(event, UserMessage) and event.source == "dtmf" and self._hides_keyed(event.text):
            return replace(event, text=MASK * len(event.text))
        if isinstance(event, UserMessage) and event.source == "speech" and event.text == self._said_secretly:
            return replace(event, text=mask_words(event.text))
        changes: dict[str, Any] = {}
        hidden = self.secret and not (isinstance(event, AgentMessage) and event.kind != "reply")
        for each in fields(event):
            if each.name in _TOLD:
                told = getattr(event, each.name)
                masked = mask_digits_in(told) if hidden else self.value(told)
                if masked != told:
                    changes[each.name] = masked
        return replace(event, **changes) if changes else event

    def value(self, told: Any) -> Any:
        """Mask a text or a JSON value."""
        return mask_value(told, self._secrets, cards=self.level != "secret")

    def json_text(self, text: str) -> str:
        """A text that may be JSON, and then stays it."""
        return mask_json(text, self._secrets, cards=self.level != "secret")

    def close(self) -> None:
        """The call has ended: logs no longer mask its secrets; a later summary still does.
        Idempotent."""
        for secret in () if self._closed else self._secrets:
            _in_use[secret] -= 1
            if _in_use[secret] <= 0:
                del _in_use[secret]
        self._closed = True

    def _hides_keyed(self, text: str) -> bool:
        keyed = "".join(digit for digit in text if digit.isdigit())
        long = self.level == "cards" and len(text) >= CARD_DIGITS
        return self.level == "all" or long or keyed in self._secrets or text in self._secrets

    def keep(self, text: str) -> None:
        """From now on, look for this text's digits in everything reported."""
        secret = "".join(digit for digit in text if digit.isdigit())
        if secret and secret not in self._secrets and len(self._secrets) < _MOST_SECRETS:
            self._secrets[secret] = None
            if not self._closed:
                _in_use[secret] += 1
