"""Wording of greetings: the package's files, and a user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from telephony.media.answering.wording import WordingError, load_wording, read_wording, spoken_words

SAID = {
    "voicemail": [
        "Hi, this is Bob. Sorry I missed your call. Leave your name and number and I'll get back to you.",
        "Your call has been forwarded to an automatic voice message system.",
        "the person you are calling is not available at the tone please record your massage",
    ],
    "mailbox_full": ["The mailbox is full and cannot accept any messages at this time. Goodbye."],
    "screener": [
        "Hi, if you record your name and reason for calling, I'll see if this person is available.",
        "The person you're calling is using a screening service and will get a copy of this conversation.",
        "Please state your name after the tone and we'll try to connect you.",
    ],
    "ivr": [
        "Thank you for calling. For sales, press 1. For support, press 2.",
        "All of our representatives are currently busy.",
        "This call may be recorded for quality assurance.",
    ],
    "human": [
        "Sunrise Clinic, how can I help?",
        "Who's calling, please?",
        "please stay on the line while I grab a pen",
        "hang on, somebody is at the door",
        "bear with me",
        "could you hold for a moment?",
        "can you please call back later?",
        "I'll get my husband",
        "I'll put you through to sales",
        "wait a minute",
        "let me close the window, I'll call you back in ten minutes",
        "He can't come to the phone right now, can I take a message?",
        "Do you want to leave a message for her?",
        "I'm driving, can I call you back?",
    ],
}


@pytest.mark.parametrize(("of", "text"), [(of, text) for of, texts in SAID.items() for text in texts])
def test_english(of: str, text: str) -> None:
    sure = {match.of for match in load_wording().matches(text, over=True) if match.strength == "sure"}
    assert of in sure
    assert (of == "human") == ("human" in sure)


OTHERS = [
    ("voicemail", "Hola, has llamado a Ana, ahora no puedo atenderte, deja tu mensaje después de la señal."),
    ("voicemail", "Bonjour, vous êtes bien chez Paul, laissez un message après le bip."),
    ("voicemail", "Sie sind mit der Mailbox von Anna verbunden, hinterlassen Sie eine Nachricht nach dem Signalton."),
    ("voicemail", "Risponde la segreteria telefonica, lasciate un messaggio dopo il segnale acustico."),
    ("voicemail", "Você ligou para Ana, deixe o seu recado após o sinal."),
    ("ivr", "Para ventas, pulse uno. Para soporte, pulse dos."),
    ("ivr", "Pour le service commercial, tapez un."),
    ("ivr", "Für den Vertrieb drücken Sie die eins."),
    ("ivr", "Per informazioni prema due."),
    ("ivr", "Para suporte, digite dois."),
    ("human", "Clínica Sol, ¿en qué puedo ayudarle?"),
    ("human", "Clinique du Soleil, que puis-je faire pour vous ?"),
    ("human", "Praxis Müller, was kann ich für Sie tun?"),
    ("human", "Studio Rossi, come posso aiutarla?"),
    ("human", "Clínica Sol, em que posso ajudar?"),
]


@pytest.mark.parametrize(("of", "text"), OTHERS)
def test_other_languages(of: str, text: str) -> None:
    assert of in {match.of for match in load_wording().matches(text, over=True) if match.strength == "sure"}


@pytest.mark.parametrize("text", ["Hello?", "¿Hola?", "Allô ?", "Pronto?", "Hallo?", "Alô?", "Müller."])
def test_a_short_word_is_no_machine_in_any_language(text: str) -> None:
    assert {match.of for match in load_wording().matches(text, over=True)} <= {"human"}


def test_whole_turns_only_when_they_are_over() -> None:
    wording = load_wording(languages=["en"])
    assert wording.matches("please stay on the line", over=False) == ()
    assert [match.of for match in wording.matches("Please stay on the line.", over=True)] == ["screener"]


def test_words_without_accents_and_punctuation() -> None:
    assert spoken_words("Después, l'été: GROSSE Straße!") == " despues l ete grosse strasse"


HEARD = [
    ("voicemail", "leave a massage"),
    ("voicemail", "please leeave your mesage"),
    ("voicemail", "this is the voice mail box of Ada"),
    ("voicemail", "she is un available leave your name and a number"),
    ("voicemail", "hinterlassn Sie eine Nachricht"),
]


@pytest.mark.parametrize(("of", "text"), HEARD)
def test_words_that_a_recogniser_has_nearly_got_right(of: str, text: str) -> None:
    assert of in {match.of for match in load_wording().matches(text, over=True)}


def test_words_of_another_language_are_not_mended() -> None:
    """Route is no Raute, nor linea a linha."""
    assert not load_wording(languages=["de"]).matches("do you have to know your route in the morning", over=True)
    assert not load_wording(languages=["pt"]).matches("pronto resti in linea prendo una penna", over=False)


def test_small_words_may_be_missing_or_too_many(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    pattern = {"of": "voicemail", "strength": "sure", "say": ["after the|that tone"]}
    path.write_text(json.dumps({"language": "x", "small": ["the", "a"], "patterns": [pattern]}))
    wording = read_wording(path)
    for text in ("after the tone", "after tone", "after a tone", "after that the tone"):
        assert wording.matches(text, over=False), text
    assert not wording.matches("after my tone", over=False)


def test_patterns_of_one_concept_say_the_same_thing() -> None:
    text = "Please leave a message after the tone. Leave your name and number."
    concepts = [m.concept for m in load_wording(languages=["en"]).matches(text, over=True) if m.of == "voicemail"]
    assert {"leave a message", "after the tone", "name and number"} <= set(concepts)


PEOPLE = [
    "Do you want to leave a message with me?",
    "Sorry, he's not in today, may I take a message?",
    "I'm not available right now, can I call you back?",
    "One moment, I'll get her for you.",
    "Could you call again tomorrow, I'm at the doctor's?",
    "Who am I speaking to?",
    "Quiere dejarle un mensaje?",
    "Je peux prendre un message ?",
    "Soll ich ihm etwas ausrichten?",
    "Vuole lasciare un messaggio?",
    "Quer deixar um recado?",
    "Warten Sie, ich hole ihn.",
    "Aspetti un attimo, glielo passo.",
]


@pytest.mark.parametrize("text", PEOPLE)
def test_what_people_say_with_a_machines_words(text: str) -> None:
    strengths = {(match.of, match.strength) for match in load_wording().matches(text, over=True)}
    assert ("human", "sure") in strengths
    assert not {(of, strength) for of, strength in strengths if strength == "sure" and of != "human"}


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "welsh.json"
    path.write_text(
        json.dumps(
            {
                "language": "cy",
                "sets": {"beep": ["tôn", "bîp"]},
                "patterns": [
                    {"of": "voicemail", "strength": "sure", "say": ["neges ... ar ôl y {beep}", "gada* neges?"]}
                ],
            }
        )
    )
    wording = load_wording([path])
    (match,) = wording.matches("Gadewch neges fer ar ol y ton", over=False)[:1]
    assert (match.of, match.language) == ("voicemail", "cy")
    assert read_wording(path).matches("gadael", over=False)
    assert not read_wording(path).matches("neges yn unig", over=False)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "not JSON"),
        ("[]", "the file: a table of fields is wanted"),
        ('{"language": "x", "patterns": [], "more": 1}', "unknown field 'more'"),
        ('{"patterns": []}', "language: a code like 'en' is wanted"),
        ('{"language": "x"}', "patterns: a list is wanted"),
        ('{"language": "x", "patterns": [{"of": "robot"}]}', "patterns, 1.: of: one of human, voicemail"),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "very"}]}',
            "patterns, 1.: strength: one of sure, likely, hint is wanted, not 'very'",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": "press"}]}',
            "patterns, 1.: say: a list of texts is wanted",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": ["a {b}"]}]}',
            "patterns, 1.: 'a {b}': there is no set {b}",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": ["a (b|c)"]}]}',
            "'(b|c)' is neither words joined by |, {set} nor ...",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": ["..."]}]}',
            "'...': it has no words that must be there",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": ["a? b?"]}]}',
            "'a? b?': it has no words",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": ["a"], "most_words": "3"}]}',
            "most_words: a number is wanted",
        ),
        (
            '{"language": "x", "patterns": [{"of": "ivr", "strength": "sure", "say": ["a"], "nott": ["b"]}]}',
            "unknown field 'nott'",
        ),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(content)
    with pytest.raises(WordingError) as raised:
        read_wording(path)
    assert str(raised.value).startswith(f"{path}: ") and error in str(raised.value)


def test_a_missing_file_and_a_language_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(WordingError, match=r"own\.json: No such file"):
        load_wording([tmp_path / "own.json"])
    with pytest.raises(WordingError, match="no wording for the language 'xx'"):
        load_wording(languages=["xx"])
