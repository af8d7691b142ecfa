"""The second step: Markdown, HTML, links, tables and emoji become the words in them. Pure, streaming, linear.

Each step has a bounded look-ahead, so that the output does not depend on how the text was split, and
memory is bounded.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

from agent.speech.characters import speakable

__all__ = ["Markup"]

_WINDOW = 80
_URL_WINDOW = 2048
_PICTURES = (  # emoji, dingbats, arrows, boxes, variation selectors: seen, not said
    "\u200d\u20e3\u2122\u00a9\u00ae\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u2500-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d"
    "\u3297\u3299\ufe00-\ufe0f\U0001f000-\U0001faff"
)
_PICTURE = re.compile(f"[{_PICTURES}]")
_SPECIAL = re.compile(rf"[*_`~#|\\<>&!\[\]【\n{_PICTURES}•]|https?:|ftp:|mailto:|tel:|www\.", re.IGNORECASE)
_URL_SO_FAR = re.compile(
    r"(?:h|ht|htt|http|https|https?:/?|ft?|ftp:?/?|m|ma|mai|mail|mailt|mailto|te?|tel|ww?|www)$", re.IGNORECASE
)
_URL = re.compile(
    r"(?:(?:https?|ftp)://)?(?:www\.)?(?P<host>[^\s/?#:@<>()\[\]\"'|*，。、；！？）」]*)[^\s<>)\]\"|，。、；！？）」]*",
    re.IGNORECASE,
)
_URL_TAIL = re.compile(r"[.,;:!?'*_]+$")
_LINE_MARKS = re.compile(r"[ \t>#*+\-=_~`|:•◦‣▪●○·–—\[\]xX]*")
_DEFINITION = re.compile(
    r"[ \t]*\[\^?[^\]\n]{1,40}\]:[ \t]*(?P<url>(?:https?:|www\.|<|/|#|mailto:)\S*)?", re.IGNORECASE
)
_DEFINITION_SO_FAR = re.compile(r"[ \t]*\[(?:[^\]\n]{0,40}|[^\]\n]{1,40}\](?::\s*[^\s]{0,8})?)$")
_RULE = re.compile(r"[ \t]*(?:(?:[-*_=~][ \t]*){3,}|\|?(?:[ \t]*:?-+:?[ \t]*\|?)+)(?=\n|\Z)")
_FENCE = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n`]*(?:\n|\Z)")
_FENCE_END = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*(?:\n|\Z)")
_LINE_START = re.compile(r"[ \t]*(?:>[ \t]?)*(?:#{1,6}[ \t]+|:[ \t]+|[-*+•◦‣▪●○·–—][ \t]+(?:\[[ xX]\][ \t]+)?|•)?")
_SPOKEN_FENCES = frozenset({"", "text", "txt", "plaintext", "markdown", "md", "none"})
_TAG = re.compile(r"<(?:/?[A-Za-z][^<>\n]*|!--[^>]*--|![A-Za-z][^<>]*)>")
_AUTOLINK = re.compile(r"<(?:https?://|mailto:)?(?P<target>[^\s<>]+[@.][^\s<>]+)>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,9});")
_ENTITY_SO_FAR = re.compile(r"&#?\w{0,10}$")
_CITATION = re.compile(r"\[\^?\d{1,3}\](?!\()")
_CITATION_SO_FAR = re.compile(r"\[\^?\d{0,3}\]?$")
_SOURCE = re.compile(r"【[^】]{0,60}†[^】]{0,60}】")
_KEYS = (
    "press",
    "dial",
    "type",
    "code",
    "hit",
    "enter",
    "key",
    "the",
    "or",
    "and",
    "then",
)  # words before a lone * or # of a keypad

Handler = Callable[["Markup", int], int | None]


class Markup:
    """`push` returns the words, and each character's position in the entire pushed text."""

    def __init__(self) -> None:
        self._text = ""
        self._base = 0  # position of `_text`'s first character in the entire pushed text
        self._last = False
        self._line_start = True
        self._line_spoken = False
        self._in_code = False
        self._in_url = False
        self._before = ""  # the character in front of `_text`
        self._words: list[str] = []
        self._places: list[int] = []
        self._tail = ""  # the last characters returned

    def push(self, text: str) -> tuple[str, list[int]]:
        self._text += text
        return self._work()

    def flush(self) -> tuple[str, list[int]]:
        self._last = True
        out = self._work()
        self._last = False
        return out

    def _work(self) -> tuple[str, list[int]]:
        at = 0
        while at < len(self._text):
            step = self._step(at)
            if step is None:
                break
            at = step
        if at:
            self._before = self._text[at - 1]
        self._text, self._base = self._text[at:], self._base + at
        words, places = "".join(self._words), self._places
        self._words, self._places = [], []
        return words, places

    def _step(self, at: int) -> int | None:
        """Process what begins at `at`; returns where it ends; None: more text is needed."""
        if self._in_url:
            return self._skip_url(at)
        if self._in_code:
            return self._skip_code(at)
        if self._line_start:
            return self._begin_line(at)
        special = _SPECIAL.search(self._text, at)
        while special is not None and special[0][-1] in ":." and self._previous(special.start()).isalnum():
            special = _SPECIAL.search(self._text, special.end())  # "xhttp:" is not an address
        end = special.start() if special is not None else len(self._text)
        if special is None and not self._last and (partial := _URL_SO_FAR.search(self._text, max(at, end - 8))):
            end = partial.start() if not self._previous(partial.start()).isalnum() else end
        if end > at:
            self._give(self._text[at:end], at)
            return end
        if special is None:
            return None
        return _HANDLERS.get(special[0].lower(), _picture)(self, at)

    # --- lines ----------------------------------------------------------------------------------------------------

    def _begin_line(self, at: int) -> int | None:
        line = self._text[at : at + _WINDOW]
        marks = _LINE_MARKS.match(line)
        more = not self._last and len(line) < _WINDOW
        if more and marks is not None and marks.end() == len(line):
            return None
        if more and "\n" not in line and _DEFINITION_SO_FAR.match(line):
            return None
        if (fence := _FENCE.match(line)) is not None:
            if more and "\n" not in line:
                return None
            self._in_code = fence["language"].lower() not in _SPOKEN_FENCES
            return at + fence.end()
        self._line_start = self._line_spoken = False
        if (rule := _RULE.match(line)) is not None and rule.end() > 2:
            return at + rule.end()
        if (definition := _DEFINITION.match(line)) is not None and definition.end() > definition.start():
            self._in_url = definition["url"] is not None  # of a reference, and its rest is dropped too
            return at + definition.end()
        start = _LINE_START.match(line)
        return at + (start.end() if start is not None else 0)

    def _skip_code(self, at: int) -> int | None:
        """Drop the lines of a block of code to the line that ends it."""
        if self._line_start:
            line = self._text[at : at + _WINDOW]
            if "\n" not in line and len(line) < _WINDOW and not self._last:
                return None
            if (end := _FENCE_END.match(line)) is not None:
                self._in_code = False
                return at + end.end()
        newline = self._text.find("\n", at)
        self._line_start = newline >= 0
        return len(self._text) if newline < 0 else newline + 1

    # --- addresses ------------------------------------------------------------------------------------------------

    def url(self, at: int) -> int | None:
        """Its host is spoken, the rest is not."""
        found = _URL.match(self._text, at, at + _URL_WINDOW)
        if found is None:
            return self._plain(at)
        if found.end() == len(self._text) and found.end() - at < _URL_WINDOW and not self._last:
            return None
        end = found.end() - len(match[0]) if (match := _URL_TAIL.search(found[0])) else found.end()
        host_end = min(found.end("host"), end)
        self._give(self._text[found.start("host") : host_end], found.start("host"))
        self._in_url = found.end() - at >= _URL_WINDOW
        return max(end, at + 1)

    def _skip_url(self, at: int) -> int:
        space = re.compile(r"\s").search(self._text, at)
        self._in_url = space is None
        return len(self._text) if space is None else space.start()

    def scheme(self, at: int) -> int:
        """For a mail or telephone address, say the part after the scheme."""
        return self._text.index(":", at) + 1

    # --- giving out -----------------------------------------------------------------------------------------------

    def _previous(self, at: int) -> str:
        return self._text[at - 1] if at > 0 else self._before

    def _next(self, at: int) -> str | None:
        """The character at `at`: "" at the end, None if it has not arrived yet."""
        if at < len(self._text):
            return self._text[at]
        return "" if self._last else None

    def _give(self, words: str, at: int, *, apart: bool = False) -> None:
        """`words` stand at `at` of the text; `apart`: all of them stand for the one character there."""
        if words[:1] == " " and (not self._tail or self._tail[-1] in " \n"):
            words, at = words[1:], at if apart else at + 1
        if not words:
            return
        self._words.append(words)
        place = self._base + at
        self._places.extend([place] * len(words) if apart else range(place, place + len(words)))
        self._tail = (self._tail + words[-16:])[-16:]
        self._line_spoken = self._line_spoken or speakable(words)

    def _plain(self, at: int) -> int:
        self._give(self._text[at], at)
        return at + 1

    def _space(self, at: int) -> None:
        self._give(" ", at, apart=True)


# --- handlers of signs: (the cleaner, position of the sign) -> next position, None to wait ----------------------


def _newline(markup: Markup, at: int) -> int:
    markup._give("\n", at)
    markup._line_start = True
    return at + 1


def _run_end(text: str, at: int) -> int:
    end = at + 1
    while end < len(text) and text[end] == text[at] and end - at < _WINDOW:
        end += 1
    return end


def _emphasis(markup: Markup, at: int) -> int | None:
    """`*`, `_`, `` ` ``, `~`, `#`: dropped, unless meant literally as in "2 * 3", "press *", "#5" or "~5"."""
    text = markup._text
    end = _run_end(text, at)
    sign, before, after = text[at], markup._previous(at), markup._next(end)
    if after is None:
        return None if end - at < _WINDOW else end
    if end - at == 1 and _stands_for_itself(markup, sign, before, after):
        return markup._plain(at)
    if sign == "*" and end - at == 1 and before.isdigit() and after.isdigit():
        markup._give("×", at)
    elif sign == "_" and before.isalnum() and after.isalnum():
        markup._space(at)
    return end


def _stands_for_itself(markup: Markup, sign: str, before: str, after: str) -> bool:
    if sign in "#~" and after.isdigit() and not before.isalnum():
        return True
    if sign == "#" and before.isdigit() and not after.isalnum():
        return True  # the end of a code, as in "*123#"
    if sign not in "*#":
        return False
    alone_before = not before or before.isspace() or before in "\"'“‘("
    alone_after = not after or after.isspace() or after in "\"'”’).,;:!?"
    words = markup._tail.lower().split()
    if sign == "*" and after.isdigit():
        return alone_before and bool(words) and words[-1] in _KEYS
    return alone_before and alone_after and before != "" and bool(words)


def _bar(markup: Markup, at: int) -> int | None:
    """A pause between the cells of a table."""
    after = re.compile(r"[ \t]{0,40}").match(markup._text, at + 1)
    following = markup._next(after.end() if after is not None else at + 1)
    if following is None and len(markup._text) - at <= 40:
        return None
    if markup._line_spoken and following not in ("", "\n", "|"):
        markup._give(", ", at, apart=True)
    return at + 1


def _drop(markup: Markup, at: int) -> int:
    return at + 1


def _less_than(markup: Markup, at: int) -> int | None:
    """A tag is dropped, an address between < and > is spoken; "a < b" stays."""
    after = markup._next(at + 1)
    if after is None:
        return None
    if not (after.isalnum() or after in "/!"):
        return markup._plain(at) if after == " " and markup._previous(at) == " " else at + 1
    if after.isdigit() and markup._previous(at).isalnum():
        return markup._plain(at)
    window = markup._text[at : at + 4 * _WINDOW]
    if (link := _AUTOLINK.match(window)) is not None and "/" not in link["target"].partition(".")[0]:
        markup._give(link["target"].partition("/")[0], at + link.start("target"))
        return at + link.end()
    if (tag := _TAG.match(window)) is not None:
        if re.match(r"</?(?:br|p|li|div|tr|h\d)\b", tag[0], re.IGNORECASE):
            markup._give("\n", at, apart=True)
        return at + tag.end()
    waits = len(window) < 4 * _WINDOW and not re.compile(r"[<>\n]").search(window, 1) and not markup._last
    return None if waits else at + 1


def _greater_than(markup: Markup, at: int) -> int | None:
    after = markup._next(at + 1)
    if after is None:
        return None
    return markup._plain(at) if after == " " and markup._previous(at) == " " else at + 1


def _ampersand(markup: Markup, at: int) -> int | None:
    window = markup._text[at : at + 12]
    if (entity := _ENTITY.match(window)) is not None:
        character = html.unescape(entity[0])
        if character != entity[0]:
            shown = "".join(c for c in character if (c.isprintable() and c not in "*_`#<>[]|\\") or c.isspace())
            markup._give(shown.replace("\xa0", " ") if not _PICTURE.search(shown) else " ", at, apart=True)
            return at + entity.end()
    if not markup._last and len(window) < 12 and _ENTITY_SO_FAR.match(window):
        return None
    return markup._plain(at)


def _exclamation(markup: Markup, at: int) -> int | None:
    after = markup._next(at + 1)
    if after is None:
        return None
    return at + 1 if after == "[" else markup._plain(at)


def _opening_bracket(markup: Markup, at: int) -> int | None:
    window = markup._text[at : at + 8]
    if not markup._last and len(window) < 8 and _CITATION_SO_FAR.match(window):
        return None
    citation = _CITATION.match(window)
    return at + citation.end() if citation is not None else at + 1


def _closing_bracket(markup: Markup, at: int) -> int | None:
    """The target after a link's text is dropped."""
    after = markup._next(at + 1)
    if after is None:
        return None
    closing = {"(": ")", "[": "]"}.get(after)
    if closing is None:
        return at + 1
    window = markup._text[at + 1 : at + 1 + _URL_WINDOW]
    end = re.compile(rf"[\n{re.escape(closing)}]").search(window, 1)
    if end is None:
        return None if len(window) < _URL_WINDOW and not markup._last else at + 2
    if end[0] == "\n":
        return at + 2
    return at + 1 + end.end()


def _source(markup: Markup, at: int) -> int | None:
    window = markup._text[at : at + 2 * _WINDOW]
    if (source := _SOURCE.match(window)) is not None:
        return at + source.end()
    return None if "】" not in window and len(window) < 2 * _WINDOW and not markup._last else at + 1


def _picture(markup: Markup, at: int) -> int:
    """Emoji are dropped; digits in circles are digits; a joiner outside of emoji belongs to a word."""
    sign, before = markup._text[at], markup._previous(at)
    if sign == "\u200d" and not _PICTURE.match(before or " "):
        return markup._plain(at)
    plain = unicodedata.normalize("NFKC", sign) if "\u2460" <= sign <= "\u24ff" else ""
    if plain.isalnum():
        markup._give(plain, at, apart=True)
    elif sign not in "\u200d\u20e3" and not "\ufe00" <= sign <= "\ufe0f":
        markup._space(at)
    return at + 1


def _inner_bullet(markup: Markup, at: int) -> int:
    if markup._line_spoken:
        markup._give(", ", at, apart=True)
    return at + 1


_HANDLERS: dict[str, Handler] = {
    "\n": _newline,
    **dict.fromkeys("*_`~#", _emphasis),
    "|": _bar,
    "\\": _drop,
    "<": _less_than,
    ">": _greater_than,
    "&": _ampersand,
    "!": _exclamation,
    "[": _opening_bracket,
    "]": _closing_bracket,
    "【": _source,
    "•": _inner_bullet,
    **dict.fromkeys(("http:", "https:", "ftp:", "www."), Markup.url),
    **dict.fromkeys(("mailto:", "tel:"), Markup.scheme),
}
