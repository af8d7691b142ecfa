"""Answers of the name service while they are valid. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict

from telephony.sip.resolving import Answer, Question

__all__ = ["NameCache"]


class NameCache:
    """`negative_s`: the longest that "no such name" is kept; `stale_s`: how long an expired answer still serves if the
    name service does not answer."""

    def __init__(
        self,
        *,
        longest_s: float = 86_400.0,
        negative_s: float = 300.0,
        failed_s: float = 5.0,
        stale_s: float = 86_400.0,
        most: int = 10_000,
    ) -> None:
        self._longest_s = longest_s
        self._negative_s = negative_s
        self._failed_s = failed_s
        self._stale_s = stale_s
        self._most = most
        self._answers: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()  # with its expiry

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, question: Question, now: float) -> Answer | None:
        """With its remaining time; None: ask again."""
        found = self._answers.get(question)
        if found is None or found[0] <= now:
            return None
        until, answer = found
        return Answer(answer.records, until - now, answer.failed)

    def put(self, question: Question, answer: Answer, now: float) -> Answer:
        """Store a new answer. Returns the one to use."""
        old = self._answers.pop(question, None)
        if answer.failed:
            if old is not None and old[1].records and now < old[0] + self._stale_s:
                self._answers[question] = old
                return Answer(old[1].records, self._failed_s, failed=True)
            lasts = self._failed_s
        elif answer.records:
            lasts = min(answer.ttl_s, self._longest_s)
        else:
            lasts = min(answer.ttl_s, self._negative_s)
        self._answers[question] = (now + lasts, answer)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)
        return Answer(answer.records, lasts, answer.failed)
