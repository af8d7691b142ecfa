"""Who speaks in the corpus: espeak-ng's variants, hibari, and flite and Festival where Debian's packages could be had.

A voice is "engine:name" or "engine:name^factor": spoken slower and played faster by that factor, so that pitch and
formants move, as with children (above 1) and old people (below 1). It stays the same voice for the split.
"""

from __future__ import annotations

import random

from gateway.bench.answering.cases import Part
from gateway.bench.answering.packages import Programs
from gateway.bench.answering.wording import half

__all__ = ["ACCENTS", "base_voice", "draw_voice", "voices_of"]

ACCENTS = {
    "en": ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029"),
    "es": ("es", "es-419"),
    "fr": ("fr-fr", "fr-be"),
    "de": ("de",),
    "it": ("it",),
    "pt": ("pt", "pt-br"),
}
_VARIANTS = (
    "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "grandma", "grandpa", "Annie",
    "Andrea", "Alicia", "Alex", "aunty", "belinda", "steph", "linda", "john", "david", "paul", "max", "Michael",
    "edward", "adam", "quincy", "rob", "boris", "gustave", "klatt", "klatt2", "klatt3", "klatt4", "Lee", "mike2",
    "travis", "victor", "caleb", "benjamin", "Mario", "Denis", "Diogo", "miguel", "Andy",
    "antonio", "pedro", "marcelo", "anika", "Jacky", "shelby",
)  # fmt: skip
_NATURAL = ("hibari:heart", "flite:slt", "flite:rms", "flite:awb", "flite:kal16")
_FACTORS = (1.0, 1.0, 1.0, 0.88, 0.94, 1.08, 1.22)

_REPORTED_VARIANTS = (
    "Gene", "Gene2", "Henrique", "Hugo", "Marco", "Mike", "Nguyen", "Reed", "RicishayMax", "RicishayMax2", "announcer",
    "ed", "edward2", "ian", "iven", "iven2", "iven4", "klatt5", "klatt6", "michel", "norbert", "pablo", "robert",
    "sandro", "steph2", "steph3", "zac",
)  # fmt: skip
# There are too few people's voices for three parts: the four that are shared speak at pitches they have nowhere else.
_REPORTED_NATURAL = ("festival:ked_diphone", "festival:ked_diphone", "flite:kal")
_SHARED = ("hibari:heart", "flite:slt", "flite:rms", "flite:awb")
_REPORTED_FACTORS = (1.0, 1.0, 1.0, 0.85, 0.91, 1.12, 1.28)
_SHARED_FACTORS = (0.85, 0.91, 1.12, 1.28)
_ITALIAN = ("festival:lp_diphone", "festival:pc_diphone")
_REPORTED_ACCENTS = {
    "en": ("en-us", "en-gb", "en-us-nyc", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
    "fr": ("fr-fr", "fr-ch"),
}


def voices_of(part: Part) -> tuple[str, ...]:
    """The voices of a part, whatever the language: of espeak-ng's, the variant is the voice."""
    if part == "reported":
        own = {*_REPORTED_NATURAL, *_SHARED, *_ITALIAN}
        return (*(f"espeak:{variant}" for variant in _REPORTED_VARIANTS), *sorted(own))
    return half([f"espeak:{variant}" for variant in _VARIANTS], part) + half(_NATURAL, part)


def base_voice(voice: str) -> str:
    """The voice for the split: without accent and factor."""
    engine, _, name = voice.partition("^")[0].partition(":")
    return f"{engine}:{name.rpartition('+')[2]}"


def draw_voice(draw: random.Random, part: Part, language: str, programs: Programs) -> str:
    """Half of English is spoken by voices made of people's recordings; recognisers understand them better."""
    if part == "reported":
        return _draw_reported(draw, language, programs)
    flite = programs.flite
    voices = voices_of(part)
    natural = [voice for voice in voices if voice in _NATURAL and (flite is not None or not voice.startswith("flite"))]
    factor = draw.choice(_FACTORS)
    ending = "" if factor == 1.0 else f"^{factor}"
    if language == "en" and natural and draw.random() < 0.5:
        return draw.choice(natural) + ending
    variant = draw.choice([voice for voice in voices if voice.startswith("espeak")]).partition(":")[2]
    return f"espeak:{draw.choice(ACCENTS[language])}+{variant}{ending}"


def _draw_reported(draw: random.Random, language: str, programs: Programs) -> str:
    people = {"en": (*_REPORTED_NATURAL, *_SHARED), "it": _ITALIAN}.get(language, ())
    natural = [voice for voice in people if programs.can_speak(voice)]
    if natural and draw.random() < 0.5:
        voice = draw.choice(natural)
        factor = draw.choice(_SHARED_FACTORS if voice in _SHARED else _REPORTED_FACTORS)
    else:
        accent = draw.choice(_REPORTED_ACCENTS.get(language, ACCENTS[language]))
        voice = f"espeak:{accent}+{draw.choice(_REPORTED_VARIANTS)}"
        factor = draw.choice(_REPORTED_FACTORS)
    return voice + ("" if factor == 1.0 else f"^{factor}")
