"""The splitter of `agent.speech` under the name by which measurements from outside import it."""

from agent.speech.sentences import Segmenter

__all__ = ["Segmenter"]
