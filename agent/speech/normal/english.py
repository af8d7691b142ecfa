"""Numbers, signs and abbreviations in spoken English. Pure.

Plain numbers are left to the synthesis, which reads them well; this handles what it can't know: that "$45.50" is money
and "7:05" a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from agent.speech.normal import digits
from agent.speech.normal.english_dates import date_rules
from agent.speech.normal.rewriting import Rule, Said

__all__ = ["rules"]

_MONEY = {  # one, many, one of the small ones, many of them ("" where nobody counts those)
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("rouble", "roubles", "kopeck", "kopecks"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "₺": ("lira", "lira", "kurus", "kurus"),
    "₱": ("peso", "pesos", "centavo", "centavos"),
    "₫": ("dong", "dong", "", ""),
    "₦": ("naira", "naira", "kobo", "kobo"),
    "₴": ("hryvnia", "hryvnias", "kopeck", "kopecks"),
    "us$": ("US dollar", "US dollars", "cent", "cents"),
    "c$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "a$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "nz$": ("New Zealand dollar", "New Zealand dollars", "cent", "cents"),
    "hk$": ("Hong Kong dollar", "Hong Kong dollars", "cent", "cents"),
    "s$": ("Singapore dollar", "Singapore dollars", "cent", "cents"),
    "r$": ("real", "reais", "centavo", "centavos"),
    "chf": ("Swiss franc", "Swiss francs", "rappen", "rappen"),
    "sek": ("Swedish krona", "Swedish kronor", "", ""),
    "nok": ("Norwegian krone", "Norwegian kroner", "", ""),
    "dkk": ("Danish krone", "Danish kroner", "", ""),
    "pln": ("zloty", "zloty", "grosz", "groszy"),
    "czk": ("Czech crown", "Czech crowns", "", ""),
    "huf": ("forint", "forint", "", ""),
    "aed": ("dirham", "dirhams", "fils", "fils"),
    "zar": ("rand", "rand", "cent", "cents"),
    "cny": ("yuan", "yuan", "", ""),
    "mxn": ("Mexican peso", "Mexican pesos", "centavo", "centavos"),
}
_CODES = {
    "usd": "us$",
    "eur": "€",
    "gbp": "£",
    "jpy": "¥",
    "￥": "¥",
    "＄": "$",
    "inr": "₹",
    "rs": "₹",
    "rs.": "₹",
    "krw": "₩",
    "ils": "₪",
    "rub": "₽",
    "try": "₺",
    "php": "₱",
    "cad": "c$",
    "ca$": "c$",
    "aud": "a$",
    "au$": "a$",
    "nzd": "nz$",
    "hkd": "hk$",
    "sgd": "s$",
    "brl": "r$",
    "rmb": "cny",
    "zł": "pln",
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion"}
_UNITS = {
    "km/h": "kilometres an hour",
    "mph": "miles an hour",
    "km": "kilometres",
    "cm": "centimetres",
    "mm": "millimetres",
    "kg": "kilograms",
    "mg": "milligrams",
    "ml": "millilitres",
    "lb": "pounds",
    "lbs": "pounds",
    "oz": "ounces",
    "ft": "feet",
    "sq ft": "square feet",
    "kwh": "kilowatt hours",
    "kw": "kilowatts",
    "gb": "gigabytes",
    "mb": "megabytes",
    "°c": "degrees Celsius",
    "°f": "degrees Fahrenheit",
    "°": "degrees",
    "min": "minutes",
    "mins": "minutes",
    "hr": "hours",
    "hrs": "hours",
    "h": "hours",
    "sec": "seconds",
    "secs": "seconds",
    "hz": "hertz",
    "khz": "kilohertz",
    "mhz": "megahertz",
    "m²": "square metres",
    "km²": "square kilometres",
    "ft²": "square feet",
}
_ODD_SINGULARS = {
    "feet": "foot",
    "square feet": "square foot",
    "hertz": "hertz",
    "kilohertz": "kilohertz",
    "megahertz": "megahertz",
    "square metres": "square metre",
    "square kilometres": "square kilometre",
}
_SHORT = {  # in lower case
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "et cetera",
    "vs.": "versus",
    "approx.": "approximately",
    "ph.d.": "P H D",
    "w/": "with",
    "w/o": "without",
    "24/7": "24 7",
    "mon-fri": "Monday to Friday",
}
_FRACTIONS = {"½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds"}
_SLASHED = {"1/2": "½", "1/4": "¼", "3/4": "¾", "1/3": "⅓", "2/3": "⅔"}
_LONE = {
    "±": "plus or minus",
    "≈": "about",
    "≤": "at most",
    "≥": "at least",
    "≠": "is not",
    "‰": "per mille",
    "§": "section",
    "№": "number",
}
_SIGNS = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "×": "times",
    "*": "times",
    "÷": "divided by",
    "<": "less than",
    ">": "greater than",
}
_PER = "second|minute|hour|hr|night|day|week|month|mo|quarter|year|yr|person|guest|seat|unit|item|piece|kg|lb"
_TOP = (
    "com|org|net|info|biz|io|app|dev|ai|gov|edu|example|test|co|uk|us|ca|au|ie|nz|de|fr|es|it|nl|at|ch|eu|in"
    "|restaurant|menu"
)


def _count(number: str, unit: str) -> str:
    if number != "1":
        return f"{number} {unit}"
    for plural, singular in _ODD_SINGULARS.items():
        if unit == plural:
            return f"1 {singular}"
    first, space, rest = unit.partition(" ")
    return f"1 {first.removesuffix('s')}{space}{rest}"


def _plain(number: str) -> str:
    return number.replace(",", "")


def _money(match: re.Match[str]) -> Said:
    sign = (match["sign"] or match["after"]).lower()
    unit, units, small, smalls = _MONEY[_CODES.get(sign, sign)]
    whole, cents, scale = _plain(match["whole"]), match["cents"] or "", match["scale"] or ""
    minus = "minus " if match["minus"] else ""
    if match["to"]:
        first = f"{whole}{'.' + cents if cents else ''}"
        return f"{minus}{first} to {_plain(match['to'])} {_SCALES.get(scale.lower(), scale)} {units}".replace("  ", " ")
    if scale:
        return f"{minus}{whole}{'.' + cents if cents else ''} {_SCALES.get(scale.lower(), scale.lower())} {units}"
    said = f"{whole} {unit if whole == '1' else units}"
    if not cents or not small or len(cents) != 2:
        return minus + (said if not cents else f"{whole}.{cents} {units}")
    if cents == "00":
        return minus + said
    part = str(int(cents))
    parts = f"{part} {small if part == '1' else smalls}"
    return minus + (parts if whole == "0" else f"{said} and {parts}")


_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"
_SIGN = "[$£€¥₹₩₽₪₺₱₫₦₴￥＄]"
_LETTERS = "|".join(code.upper() for code in (*_CODES, *_MONEY) if code.isalpha() and len(code) == 3)
_BEFORE = rf"(?:(?:US|CA?|AU?|NZ|HK|S|R)\$|{_SIGN}|(?:{_LETTERS})(?= ?\d)|Rs\.?(?= ?\d))"
_MONEY_BEFORE = re.compile(
    rf"(?<![\w.])(?P<minus>[-−])?(?P<sign>{_BEFORE}) ?(?P<whole>{_NUMBER})(?:\.(?P<cents>\d{{1,2}})(?!\d))?"
    rf"(?: ?[-–] ?{_SIGN}?(?P<to>(?:{_NUMBER})(?:\.\d\d)?)(?!\d|[.,]\d))?"
    rf"(?: ?(?P<scale>million|billion|thousand|[kKmMbB]n?)\b)?(?P<after>)"
)
_MONEY_AFTER = re.compile(
    rf"(?<![\w.,])(?P<minus>[-−])?(?P<sign>)(?P<whole>{_NUMBER})(?:[.](?P<cents>\d{{2}}))?(?P<to>)(?P<scale>)"
    rf" ?(?P<after>[£€¥₹₩₽₪₺₱₫₦₴]|(?:{_LETTERS}|zł)\b)"
)


def _unit(match: re.Match[str]) -> Said:
    return _count(match[1], _UNITS[match[2].lower()])


def _host(match: re.Match[str]) -> Said:
    return match[0].replace("@", " at ").replace(".", " dot ").replace("_", " underscore ")


def _range(match: re.Match[str]) -> Said:
    first, last = match[1], match[2]
    return f"{first} to {last}" if "–" in match[0] or float(first) < float(last) else None


def _fraction(match: re.Match[str]) -> Said:
    said = _FRACTIONS[match[2]]
    return f"{match[1]} and {said.replace('one half', 'a half').replace('one ', 'a ')}" if match[1] else said


def _slashed_fraction(match: re.Match[str]) -> Said:
    said = _FRACTIONS.get(_SLASHED.get(match[2], ""))
    # "on 1/2" is a day.
    if said is None or (
        not match[1] and re.search(r"\b(?:on|by|until|from|since|for) $", match.string[: match.start()])
    ):
        return None
    return f"{match[1]} and {said.replace('one half', 'a half').replace('one ', 'a ')}" if match[1] else said


def _as(words: str) -> Callable[[re.Match[str]], Said]:
    return lambda _: words


@cache
def rules(language: str) -> Sequence[Rule]:
    """`language`: "en-gb" says dates and keys in the British way."""
    units = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
    short = "|".join(re.escape(word) for word in sorted(_SHORT, key=len, reverse=True))
    return (
        Rule(re.compile(rf"(?<!\w)(?:{short})(?!\w)", re.IGNORECASE), lambda m: _SHORT[m[0].lower()], "./-"),
        Rule(re.compile(r"(?<![\w.+-])[\w+-][\w.+-]*@[\w-]+(?:\.[\w-]+)+"), _host, "@"),
        Rule(re.compile(rf"(?<![\w@.])(?:[\w-]+\.)+(?:{_TOP})\b(?![\w@]|\.\w)", re.IGNORECASE), _host, "."),
        *date_rules(language),
        *digits.rules("plus"),
        Rule(_MONEY_BEFORE, _money),
        Rule(_MONEY_AFTER, _money),
        Rule(re.compile(r"(?<![\w.,])(\d+) ?¢"), lambda m: _count(m[1], "cents"), "¢"),
        Rule(
            re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?[-–] ?(\d+(?:\.\d+)?) ?%"),
            lambda m: f"{m[1]} to {m[2]} percent",
            "%",
        ),
        Rule(re.compile(r"(?<=\d) ?%"), _as(" percent"), "%"),
        Rule(
            re.compile(r"(?<![\w.,/-])(\d{1,4}(?:\.\d+)?) ?[-–] ?(\d{1,4}(?:\.\d+)?)(?![\w/]|[-–.,]\d)"), _range, "-–"
        ),
        Rule(
            re.compile(rf"(?<![\w.,])(\d[\d,]*(?:\.\d+)?[½¼¾⅓⅔]?|[½¼¾⅓⅔]) ?({units})(?![\w°/])", re.IGNORECASE), _unit
        ),
        Rule(re.compile(r"(?:(\d+) ?)?([½¼¾⅓⅔])"), _fraction, "½¼¾⅓⅔"),
        Rule(re.compile(r"(?<![\w/.,$-])(?:(\d+) )?([123]/[234])(?![\w/-]|[.,]\d)"), _slashed_fraction, "/"),
        Rule(
            re.compile(r"(?<![\w.,/'′])(\d) ?['′] ?(?:(\d\d?) ?[\"″])?(?!\w)"),
            lambda m: _count(m[1], "feet") + (f" {m[2]}" if m[2] else ""),
            "'′",
        ),
        *_sign_rules("hash" if language.startswith(("en-gb", "en-ie")) else "pound"),
    )


def _sign_rules(hash_key: str) -> Sequence[Rule]:
    return (
        Rule(re.compile(r"(?:\b[Nn]o\. ?|#)(?=\d)"), _as("number "), "#."),
        Rule(re.compile(r"~(?=\d)"), _as("about "), "~"),
        Rule(re.compile(rf" ?([{''.join(_LONE)}]) ?"), lambda m: f" {_LONE[m[1]]} ", "".join(_LONE)),
        Rule(re.compile(r"(?<!\w)@ ?(?=\w)"), _as("at "), "@"),
        Rule(re.compile(r"(?<!\w)-(?=\d)"), _as("minus "), "-"),
        Rule(
            re.compile(r"(?<=\d) ?([+=×*÷]) ?(?=\d)|(?<=\w) ?([<>]) ?(?=\d)"),
            lambda m: f" {_SIGNS[m[1] or m[2]]} ",
            "+=×*÷<>",
        ),
        Rule(re.compile(rf"(?<=\w)/(?=(?:{_PER})\b)"), _as(" per "), "/"),
        Rule(re.compile(r"(?<=\w)/(?=[A-Za-z])"), _as(" "), "/"),
        Rule(re.compile(r" ([&+=<>]) "), lambda m: f" {_SIGNS[m[1]]} ", "&+=<>"),
        Rule(re.compile(r"(?<![\w&])&(?![\w&])|(?<=\w)&(?=\w)"), _as(" and "), "&"),
        Rule(re.compile(r"\*(?=\w)"), _as("star "), "*"),
        Rule(re.compile(r"\*"), _as("star"), "*"),
        Rule(re.compile(r"(?<=\w)#"), _as(f" {hash_key}"), "#"),
        Rule(re.compile(r"#"), _as(hash_key), "#"),
    )
