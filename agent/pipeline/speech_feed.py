"""Which audio the recogniser is given, and which turn its text belongs to.

Pieces of speech with a short pre-roll, each flushed; or, `endless`, all audio, cut at the ends of turns.
"""

from __future__ import annotations

from collections import deque

from agent.pipeline.recognizer import Piece, Recognizer
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.voice_source import level_db
from telephony.media.frames import FRAME_MS, AudioFrame

__all__ = ["SpeechFeed"]

_PRE_ROLL_S = 0.3
_WHOLE_TURN_FRAMES = 750  # 15 s: beyond that, hearing all of it again would take too long
_RECENT_FRAMES = 60  # 1.2 s: the pre-roll plus the time to detect speech
_KEPT_FRAMES = 1500  # 30 s of a turn, for a stream that is reopened during it
_LOUD_DB = -45.0  # a louder frame may be speech, if there are no speech signals


class SpeechFeed:
    def __init__(self, recognizer: Recognizer, *, whole_turns: bool) -> None:
        """`whole_turns`: the recogniser needs the turn from its start again when the caller continues."""
        self._recognizer = recognizer
        self._whole_turns = whole_turns
        self._recent: deque[AudioFrame] = deque(maxlen=_RECENT_FRAMES)
        self._fed_until = 0.0
        self._piece: Piece | None = None
        self._turns: dict[Piece, SpokenTurn] = {}
        self.endless = False
        # for an endless piece, also keep audio from before a turn started, as nothing signals its start
        self.keeps_all = False
        self.frames = 0  # of the open piece
        self.loud_ms = 0.0  # of an endless piece: sound that may be speech

    @property
    def open(self) -> bool:
        """A piece has begun and has not been flushed."""
        return self._piece is not None

    @property
    def fed_ms(self) -> float:
        """Of the open piece."""
        return self.frames * FRAME_MS

    def hear(self, frame: AudioFrame, turn: SpokenTurn | None) -> None:
        """`turn`: the caller's current turn."""
        self._recent.append(frame)
        if self._piece is None:
            return
        self._fed_until = frame.at
        self.frames += 1
        self._recognizer.push(frame)
        if self.endless:
            self.loud_ms += FRAME_MS if level_db(frame.pcm) >= _LOUD_DB else 0
        elif turn is not None and self._whole_turns:
            turn.frames.append(frame)

    def forget(self) -> None:
        """Treat later audio as unrelated to earlier audio."""
        self._recent.clear()

    def begin(self, turn: SpokenTurn, speech_at: float) -> None:
        """Speech begins. After a short pause it is the same piece."""
        if self.endless:
            self._recognizer.wake()
            self._keep(_KEPT_FRAMES)
        if self._piece is not None:
            return
        piece = Piece()
        since = max(speech_at - _PRE_ROLL_S, self._fed_until)
        fresh = [frame for frame in self._recent if frame.at > since + 1e-6]
        if self._whole_turns and len(turn.frames) <= _WHOLE_TURN_FRAMES:
            piece.whole = True
            piece.frames.extend(turn.frames)
        piece.frames.extend(fresh)
        turn.frames.extend(fresh)
        self._belongs(piece, turn)
        if fresh:
            self._fed_until = fresh[-1].at
        self._open(piece)

    def begin_endless(self, turn: SpokenTurn | None) -> None:
        """Feed all audio from now on. An open piece ends and its text is discarded. `turn`: the ongoing turn."""
        self.endless = True
        self._open(Piece(keep=_KEPT_FRAMES if self.keeps_all or turn is not None else _RECENT_FRAMES))

    def flush(self, turn: SpokenTurn | None) -> None:
        """Ask for the text of the open piece. `turn`: its turn if the piece is endless; None: discard it."""
        piece, self._piece = self._piece, None
        if piece is None:
            return
        if piece not in self._turns:
            self._belongs(piece, turn or SpokenTurn(0.0, 0.0, dropped=True))
        self._recognizer.flush()
        if self.endless and self._piece is None:
            self.begin_endless(None)

    def hand_over(self, turn: SpokenTurn) -> None:
        """Ongoing speech belongs to another turn."""
        if self._piece is not None and not self.endless:
            self._belongs(self._piece, turn)

    def done(self, piece: Piece) -> SpokenTurn:
        """The turn to which a piece's text, which has arrived, belongs."""
        turn = self._turns.pop(piece)
        turn.awaited -= 1
        return turn

    def _belongs(self, piece: Piece, turn: SpokenTurn) -> None:
        self._turns[piece] = turn
        turn.awaited += 1

    def _open(self, piece: Piece) -> None:
        self._piece = piece
        self.frames, self.loud_ms = len(piece.frames), 0.0
        self._recognizer.begin(piece)

    def _keep(self, frames: int) -> None:
        if self._piece is not None:
            self._piece.keep = frames
