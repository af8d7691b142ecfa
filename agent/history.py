"""The conversation so far, as the model sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from agent.masking import mask_digits_in_json, mask_runs, mask_words
from agent.providers.base import ChatMessage

__all__ = ["Entry", "History"]


class Entry:
    """One message, which may still change: an answer grows while it is generated and is cut to what was heard.
    `activity`: who had the caller then."""

    __slots__ = ("activity", "message")

    def __init__(self, message: ChatMessage, activity: object = None) -> None:
        self.message = message
        self.activity = activity

    def update(self, **changes: object) -> None:
        self.message = replace(self.message, **changes)  # type: ignore[arg-type]  # fields of ChatMessage by name


class History:
    def __init__(self, activity: Callable[[], object] = lambda: None) -> None:
        """`activity`: who has the caller."""
        self._entries: list[Entry] = []
        self._activity = activity

    def add(self, message: ChatMessage) -> Entry:
        entry = Entry(message, self._activity())
        self._entries.append(entry)
        return entry

    @property
    def last(self) -> Entry | None:
        return self._entries[-1] if self._entries else None

    def add_before(self, entry: Entry | None, message: ChatMessage) -> Entry:
        """Insert a message that came late; without `entry` it is the last one."""
        added = Entry(message, self._activity())
        place = self._entries.index(entry) if entry in self._entries else len(self._entries)
        self._entries.insert(place, added)
        return added

    def remove(self, entry: Entry) -> None:
        if entry in self._entries:
            self._entries.remove(entry)

    def attach(self, entry: Entry) -> None:
        entry.activity = self._activity()
        self._entries.append(entry)

    def add_after(self, entry: Entry, messages: Iterable[ChatMessage]) -> None:
        """Add outputs of the tools that `entry` called. Messages from the meantime come first: the calls move behind
        them, so that the outputs directly follow the calls and are last."""
        outputs = [Entry(message, entry.activity) for message in messages]
        calls = entry.message.tool_calls
        if calls and (not self._entries or entry is not self._entries[-1]):
            entry.update(tool_calls=())
            self._entries.append(Entry(ChatMessage("assistant", tool_calls=calls), entry.activity))
        self._entries += outputs

    def redact(self, activities: Collection[object]) -> None:
        """Mask what the caller has keyed and said while one of these had them, and the digits of answers and tools.
        What asked has the result, and no model needs it any more."""
        for entry in self._entries:
            if entry.activity not in activities:
                continue
            message = entry.message
            hide = mask_words if message.role == "user" else mask_runs
            calls = tuple(replace(call, arguments=mask_digits_in_json(call.arguments)) for call in message.tool_calls)
            entry.update(text=hide(message.text), tool_calls=calls)

    def replace(self, messages: Iterable[ChatMessage]) -> None:
        """Replace the history. Messages kept from the old one remain the same objects: an answer being said keeps
        growing in it."""
        known = list(self._entries)
        entries: list[Entry] = []
        for message in messages:
            entry = next((each for each in known if each.message == message), None)
            if entry is None:
                entry = Entry(message)
            else:
                known.remove(entry)
            entries.append(entry)
        self._entries = entries

    def said_since_user(self) -> str:
        """All words of the agent since the caller's last message."""
        texts: list[str] = []
        for entry in reversed(self._entries):
            if entry.message.role == "user":
                break
            if entry.message.role == "assistant" and entry.message.text:
                texts.append(entry.message.text)
        return " ".join(reversed(texts))

    def messages(self, heard: Callable[[object], bool] = lambda _: True) -> list[ChatMessage]:
        """Without answers that nobody heard. `heard`: whether messages of this activity count."""
        return [
            entry.message
            for entry in self._entries
            if (heard(entry.activity))
            and (entry.message.text or entry.message.tool_calls or entry.message.role in ("user", "tool"))
        ]
