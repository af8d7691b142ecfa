"""The splitter of `agent.speech`, under its old name."""

from agent.speech.sentences import Segmenter

__all__ = ["Segmenter"]
