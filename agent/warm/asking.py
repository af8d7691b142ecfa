"""Questions over a channel: each gets an answer or a refusal, or times out.

Either side may ask. A question is a `Message` with arbitrary fields; its answer is JSON values. A refusal is a separate
error for the asking side, with a kind for programs, so that "nobody is free" does not look like "the other side is
broken".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.warm.channel import Message

__all__ = ["Answer", "AskError", "AskLost", "AskTimedOut", "Asking", "Question", "Refused"]

Answers = Callable[[Any], Awaitable[Mapping[str, Any]]]
_log = logging.getLogger(__name__)


class AskError(Exception):
    """A question has no answer."""

    retryable = False


class Refused(AskError):
    """The other side refuses. Raised by the answering code, and again on the asking side. `kind`: one word for
    programs, `text`: for people."""

    def __init__(self, kind: str, text: str, *, retryable: bool = False) -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
        self.text = text
        self.retryable = retryable


class AskTimedOut(AskError):
    """No answer came in time. Whether the other side did it is unknown."""

    retryable = True


class AskLost(AskError):
    """The other side is gone, or was never there."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Question(Message):
    """One question. `body`: a JSON object; `topic` says who answers it."""

    number: int
    topic: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """The answer to the question with this number. `refused`: the kind of refusal, empty for an answer."""

    number: int
    body: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    text: str = ""
    retryable: bool = False


class Asking:
    """Both halves, for one end of one channel. `send` is the channel's; call `received` with each incoming message."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._last = 0
        self._answers: dict[str, Answers] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    def serve(self, topic: str, answer: Answers) -> None:
        """From now on `answer` handles questions on this topic; it returns JSON values or raises Refused."""
        self._answers[topic] = answer

    async def ask(self, topic: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """Raises Refused, AskTimedOut, AskLost."""
        if self._closed:
            raise AskLost(f"{topic}: the channel is closed")
        self._last += 1
        number = self._last
        asked: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        try:
            self._send(Question(number, topic, body))
            async with asyncio.timeout(timeout_s):
                return await asked
        except TimeoutError:
            raise AskTimedOut(f"{topic}: no answer within {timeout_s:g} s") from None
        finally:
            del self._asked[number]

    def received(self, message: Message) -> bool:
        """Whether it was a question or an answer. A late answer is dropped."""
        if isinstance(message, Question):
            task = asyncio.get_running_loop().create_task(self._answer(message), name=f"answer {message.topic}")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif isinstance(message, Answer):
            asked = self._asked.get(message.number)
            if asked is not None and not asked.done():
                if message.refused:
                    asked.set_exception(Refused(message.refused, message.text, retryable=message.retryable))
                else:
                    asked.set_result(message.body)
        else:
            return False
        return True

    def close(self) -> None:
        """The channel is closed: waiters get an error, and running answers are cancelled. Idempotent."""
        self._closed = True
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(AskLost("the channel was closed before an answer came"))
        for task in self._answering:
            task.cancel()

    async def _answer(self, question: Question) -> None:
        answer = self._answers.get(question.topic)
        try:
            if answer is None:
                raise Refused("unknown_topic", question.topic)
            self._send(Answer(question.number, await answer(question.body)))
        except Refused as refused:
            self._send(Answer(question.number, refused=refused.kind, text=refused.text, retryable=refused.retryable))
        except Exception as error:  # noqa: BLE001 - any error is reported to the asking side
            _log.exception("answering a question about %s failed", question.topic)
            self._send(Answer(question.number, refused="failed", text=f"{type(error).__name__}: {error}"[:300]))
