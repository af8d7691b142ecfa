"""How a worker sends the gateway a call's summary."""

from __future__ import annotations

__all__ = ["CALL_SUMMARY", "Words", "summary_message"]

CALL_SUMMARY = "call_summary"  # a message besides those of the record
Words = tuple[str, str]  # and their author: "persona", "model", or "" for no words


def summary_message(call_id: str, words: Words) -> dict[str, object]:
    """Sent once, after the call's record."""
    return {"message": CALL_SUMMARY, "call_id": call_id, "text": words[0], "by": words[1]}
