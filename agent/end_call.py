"""The tool by which a model, or a rule, ends the call."""

from __future__ import annotations

from dataclasses import dataclass

from agent.tools import function_tool

__all__ = ["EndCall", "end_call"]


@dataclass(frozen=True, slots=True)
class EndCall:
    """Returned by a tool, it ends the call when `farewell` has been played out to its last frame. Without a farewell,
    what was said in the same turn is the farewell; otherwise the model is asked for one."""

    farewell: str = ""


@function_tool
async def end_call(farewell: str = "") -> EndCall:
    """End the phone call when the caller's business is done or the caller says goodbye.

    Args:
        farewell: The last words to the caller. Leave empty if you have already said goodbye.
    """
    return EndCall(farewell)
