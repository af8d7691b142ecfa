"""The first step: valid characters, without reasoning, calls or tokens that a server failed to remove. Pure."""

from __future__ import annotations

import re

from agent.speech.characters import valid_text

__all__ = ["Intake"]

_BLOCKS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "analysis", "scratchpad"),
    *("inner_monologue", "seed:think", "antml:thinking", "tool_call", "tool_calls", "tool_response", "tool_result"),
    *("function_call", "function_calls", "tools", "script", "style"),
)
_NAMES = "|".join(_BLOCKS)
_OPEN = re.compile(
    rf"<(?P<tag>{_NAMES})(?:\s[^<>]{{0,80}})?>|\[(?P<square>THINK|TOOL_CALLS)\]|(?P<kimi>◁think▷)"
    rf"|(?P<function><function=[^<>\s]{{1,64}}>)|(?P<calls><[|｜](?:python_tag|tool[_▁]calls?(?:[_▁]begin)?)[|｜]>)"
    rf"|(?P<harmony><\|channel\|>(?:analysis|commentary)\b)",
    re.IGNORECASE,
)
# Ends without a start, as some chat templates start the reasoning themselves; and the tokens of chat templates.
_STRAY = re.compile(
    rf"</(?:{_NAMES})\s*>|\[/THINK\]|◁/think▷|<\|channel\|>final|<\|start\|>assistant|<[|｜][\w ▁]{{1,30}}[|｜]>"
    r"|<[/]?s>|</function>",
    re.IGNORECASE,
)
_STARTS = tuple(
    start.lower()
    for start in (
        *(f"<{name}" for name in _BLOCKS),
        *(f"</{name}" for name in _BLOCKS),
        *("<function=", "</function>"),
        *("[think]", "[/think]", "[tool_calls]", "◁think▷", "◁/think▷", "</s>", "<s>"),
    )
)
_TOKEN_SO_FAR = re.compile(r"<(?:function=[^<>\s]{0,64}|[|｜][\w ▁]{0,30}(?:[|｜](?:>\w{0,12})?)?)$")
_INSIDE_TAG = re.compile(r"(?P<start></?[\w:]+)(?:\s[^<>]{0,80})?$")
_LONGEST_TAG = 112
_SIGN = re.compile(r"[<\[◁]")


class Intake:
    """`push` returns the relevant text; `flush` the rest. The joined result does not depend on how the text
    was split."""

    def __init__(self) -> None:
        self._raw = ""  # half a surrogate pair, half a line end
        self._text = ""  # what may still become a tag
        self._closing: re.Pattern[str] | None = None  # within a block: what ends it

    def push(self, text: str) -> str:
        text = self._raw + text
        cut = len(text) - 1 if text and (text[-1] == "\r" or "\ud800" <= text[-1] <= "\udbff") else len(text)
        self._raw = text[cut:]
        return self._take(valid_text(text[:cut]), last=False)

    def flush(self) -> str:
        """End of the text. A block that was never closed is dropped."""
        rest, self._raw = valid_text(self._raw), ""
        out = self._take(rest, last=True)
        self._text, self._closing = "", None
        return out

    def _take(self, text: str, *, last: bool) -> str:
        self._text += text
        out: list[str] = []
        at = 0
        while True:
            if self._closing is not None:
                end = self._closing.search(self._text, at)
                if end is None:
                    self._text = self._text[max(at, len(self._text) - _LONGEST_TAG) :]
                    return "".join(out)
                at, self._closing = end.end(), None
            sign = _SIGN.search(self._text, at)
            start = sign.start() if sign else len(self._text)
            out.append(self._text[at:start])
            at = start
            if sign is None:
                break
            if not last and self._unfinished(at):
                break
            at = self._after_sign(at, out)
        self._text = self._text[at:]
        return "".join(out)

    def _unfinished(self, at: int) -> bool:
        """Whether more text is needed to decide what begins at `at`."""
        tail = self._text[at : at + _LONGEST_TAG]
        if len(tail) >= _LONGEST_TAG:
            return False
        lower = tail.lower()
        if any(start.startswith(lower) for start in _STARTS) or _TOKEN_SO_FAR.match(tail):
            return True
        inside = _INSIDE_TAG.match(lower)
        return inside is not None and inside["start"] in _STARTS

    def _after_sign(self, at: int, out: list[str]) -> int:
        if (opened := _OPEN.match(self._text, at)) is not None:
            self._closing = _closing_of(opened)
            return opened.end()
        if (stray := _STRAY.match(self._text, at)) is not None:
            if stray[0][:2] == "</" or "/" in stray[0][:2]:
                out.append("\n")  # the text before it does not belong to the following sentence
            return stray.end()
        out.append(self._text[at])
        return at + 1


def _closing_of(opened: re.Match[str]) -> re.Pattern[str]:
    if opened["tag"]:
        return re.compile(rf"</{re.escape(opened['tag'])}\s*>", re.IGNORECASE)
    if opened["square"]:
        return re.compile(r"\[/THINK\]" if opened["square"].upper() == "THINK" else r"\n", re.IGNORECASE)
    if opened["kimi"]:
        return re.compile("◁/think▷")
    if opened["function"]:
        return re.compile(r"</function>", re.IGNORECASE)
    if opened["calls"]:
        return re.compile(r"<[|｜](?:eom_id|eot_id|end|/tool_call|tool[_▁]calls?[_▁]end)[|｜]>", re.IGNORECASE)
    return re.compile(r"<\|(?:end|return|call)\|>|<\|channel\|>final(?:<\|message\|>)?", re.IGNORECASE)
