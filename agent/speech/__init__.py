"""Prepares a model's text for speech synthesis. Pure.

`stage.py` joins the steps: `intake.py` (valid characters, without reasoning) -> `markup.py` (without Markdown, HTML,
emoji) -> `sentences.py` (pieces that can be spoken) -> `normal/` (numbers and signs as they are said, by language).
"""
