"""What a human says who takes a caller over, in six languages, and what only sounds like it."""

from __future__ import annotations

import pytest

from agent.decisions import DECISIONS, decision_of
from agent.words import CANNED_BY_LANGUAGE


def test_there_are_words_in_every_language_that_has_canned_ones() -> None:
    assert set(DECISIONS) == set(CANNED_BY_LANGUAGE)


@pytest.mark.parametrize(
    ("language", "text", "takes"),
    [
        ("en", "Put them through.", True),
        ("en-GB", "Okay, put her through, please.", True),
        ("en", "I'll take the call.", True),
        ("en", "No questions.", True),
        ("en", "Please don't put them through.", False),
        ("en", "No, I can't.", False),
        ("en", "Sorry, I can't take it right now.", False),
        ("en", "No", None),
        ("en", "What does she want?", None),
        ("en", "How did he put it?", None),
        ("de", "Ja, stellen Sie durch.", True),
        ("de", "Stellen Sie ihn bitte nicht durch.", False),
        ("de", "Ich übernehme.", True),
        ("de", "Nein, ich kann gerade nicht.", False),
        ("de", "Worum geht es denn?", None),
        ("es", "Páseme la llamada.", True),
        ("es", "Ahora no, estoy ocupado.", False),
        ("es", "¿Cómo se llama?", None),
        ("fr", "Passez-moi l'appel.", True),
        ("fr", "Non, je ne peux pas.", False),
        ("fr", "C'est pour quoi ?", None),
        ("it", "Mi passi la chiamata.", True),
        ("it", "No, non posso.", False),
        ("it", "Di che cosa si tratta?", None),
        ("pt", "Pode passar.", True),
        ("pt", "Não posso, estou ocupada.", False),
        ("pt", "Qual é o nome?", None),
        ("nl", "Put them through.", True),
    ],
)
def test_what_is_meant(language: str, text: str, takes: bool | None) -> None:
    assert decision_of(text, language) is takes
