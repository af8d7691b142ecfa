"""Settings of the machine that decides who has answered."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AnsweringSettings"]


@dataclass(frozen=True, slots=True)
class AnsweringSettings:
    """Seconds, where nothing else is said. Times that count from the answer count from the 200 OK."""

    # A person
    short_first_s: float = 1.2  # "hello?": whoever says no more than this and then waits is a person
    short_pause_s: float = 0.28  # of silence after such a short first stretch
    middling_first_s: float = 2.6  # "Sunrise Clinic, this is Ada"
    middling_pause_s: float = 0.4
    long_pause_s: float = 0.9  # after still more
    words_wait_s: float = 0.5  # more after a first stretch that was not short, for words that a recogniser still owes
    human_probability: float = 0.5  # at least, at such a pause
    # A machine
    machine_probability: float = 0.97  # at least, at any time
    correction_probability: float = 0.95  # at least, where a person had been taken for decided
    # Limits
    decide_s: float = 20.0  # from the answer; whoever has not been recognised by then is taken for a person
    give_up_silence_s: float = 2.5  # after speech: it is a person who waits, unless a machine is likely
    nobody_s: float = 8.0  # from the answer, without a word: silence
    silence_is_human: bool = False  # somebody who says nothing is talked to
    watch_s: float = 20.0  # after "human": a correction is possible
    # Messages
    after_beep_s: float = 0.15  # of quiet: a double beep has another one within it
    no_beep_s: float = 2.5  # of silence after a greeting that announces no beep
    announced_beep_s: float = 5.0  # of silence after one that does
    message_limit_s: float = 45.0  # from the answer: a message begins then, whatever is heard
    goes_on_s: float = 0.6  # of speech after a greeting's end without a beep: it was not over
    goes_on_after_beep_s: float = 1.8  # the same after a beep; a person who picks up says less

    def __post_init__(self) -> None:
        """Raises ValueError."""
        for name in ("human_probability", "machine_probability", "correction_probability"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if not 0 < self.short_first_s < self.middling_first_s:
            raise ValueError(
                f"short_first_s must be above 0 and below middling_first_s ({self.middling_first_s}),"
                f" not {self.short_first_s}"
            )
