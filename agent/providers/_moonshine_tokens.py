"""Moonshine's vocabulary: texts to tokens and back. Pure.

The tokens are SentencePiece's (byte pair encoding, as Llama's): of two neighbours the pair with the lowest number is
joined first, and a word begins with U+2581 in place of its space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["Vocabulary", "read_tokens"]

_SPACE = "\u2581"


def read_tokens(path: Path) -> list[bytes]:
    """The file's tokens: a length of one byte, or two from 128 on, and the token's bytes."""
    data, tokens, at = path.read_bytes(), [], 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += data[at] * 128 - 128
            at += 1
        tokens.append(data[at : at + length])
        at += length
    return tokens


class Vocabulary:
    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens
        self._ids = {token: number for number, token in enumerate(tokens)}

    def words(self, ids: Sequence[int], sure: Sequence[float]) -> list[tuple[str, float]]:
        """Words with the probability of their least sure part."""
        words: list[tuple[bytes, float]] = []
        space = _SPACE.encode()
        for token_id, probability in zip(ids, sure, strict=False):
            piece = self._tokens[token_id] if token_id < len(self._tokens) else b""
            if piece.startswith(space) or not words:
                words.append((piece.removeprefix(space), probability))
            else:
                text, least = words[-1]
                words[-1] = (text + piece, min(least, probability))
        readable = ((text.decode("utf-8", "ignore").replace(_SPACE, " ").strip(), least) for text, least in words)
        return [(text, least) for text, least in readable if text]

    def ids(self, text: str) -> list[int]:
        """Empty if it can't be written with these tokens."""
        parts = [letter.encode() for letter in _SPACE + text.replace(" ", _SPACE)]
        while True:
            pairs = [(self._ids.get(parts[at] + parts[at + 1], -1), at) for at in range(len(parts) - 1)]
            known = [pair for pair in pairs if pair[0] >= 0]
            if not known:
                break
            at = min(known)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if any(part not in self._ids for part in parts):
            return []
        return [self._ids[part] for part in parts]
