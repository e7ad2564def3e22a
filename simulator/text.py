"""Content that looks like people wrote it: names, questions, announcements, in several scripts, some with markup."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.dice import mix, pick

FIRST = [
    "Ada",
    "Kun",
    "Jane",
    "Lena",
    "Marco",
    "Aiko",
    "Tomasz",
    "Fatima",
    "Björn",
    "Chloé",
    "Diego",
    "Priya",
    "Sven",
    "Noor",
    "Emily",
    "Otto",
    "Zoë",
    "Yusuf",
    "Ines",
    "Wei",
]
LAST = [
    "Lovelace",
    "Liu",
    "Doe",
    "Vogel",
    "Rossi",
    "Tanaka",
    "Nowak",
    "Haddad",
    "Åkesson",
    "Dubois",
    "Ramos",
    "Sharma",
    "Lind",
    "Aziz",
    "Clark",
    "Berger",
    "Kaya",
]
PRODUCTS = ["kettle", "rain jacket", "desk lamp", "trail shoe", "espresso set", "linen shirt", "bike light", "backpack"]
COLOURS = ["blue", "green", "sand", "black", "coral", "white"]

QUESTIONS = (
    "Is the {colour} {product} in stock? 👀",
    "Where is my order & invoice? It was the {product}.",
    "How long does delivery take to Zürich?",
    "Does the {product} come in {colour} too?",
    "Can I return the {product} without the box?",
    "¿Hacen envíos a Canarias?",
    "{product} の再入荷はいつですか？",
    "My {product} arrived broken 😞 what now?",
)
STATEMENTS = (
    "New in: the {colour} {product} 🎉",
    "We are closed on Monday. Back on Tuesday at 9 <3",
    "Behind the scenes of our {product} workshop.",
    "Sale ends tonight: 20 % off every {product} & more.",
    "Thank you for 10,000 followers! 💙",
    "How we test a {product}: 3 days, 40 people, 1 dog 🐕",
    "Neue Öffnungszeiten: Mo–Fr 10–18 Uhr",
    'What customers say: "best {product} I ever had"',
)
REPLIES = (
    "Thanks for asking! It is, until Friday.",
    "Checking, one moment please.",
    "Sent you a message.",
    "Same question here 🙋",
    "Love it 😍😍",
    "Shipped this morning, it should arrive tomorrow.",
    "Not for me, sorry.",
    "👍",
)
EMOJI = ("thumbsup", "heart", "eyes", "tada", "joy", "rocket", "white_check_mark")


@dataclass(frozen=True, slots=True)
class Person:
    first: str
    last: str
    handle: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    @property
    def email(self) -> str:
        return f"{self.handle}@people.example.com"


def person(*key: int | str) -> Person:
    first, last = pick(FIRST, "first", *key), pick(LAST, "last", *key)
    number = mix("handle", *key) % 900 + 100
    handle = f"{first}.{last}{number}".lower().translate(_PLAIN)
    return Person(first, last, handle)


_PLAIN = str.maketrans({"ö": "o", "é": "e", "ë": "e", "å": "a"})


def _fill(templates: tuple[str, ...], key: tuple[int | str, ...]) -> str:
    roll = mix(*key)
    template = templates[roll % len(templates)]
    if "{" not in template:
        return template
    colour, product = COLOURS[(roll >> 16) % len(COLOURS)], PRODUCTS[(roll >> 32) % len(PRODUCTS)]
    return template.replace("{colour}", colour).replace("{product}", product)


def question(*key: int | str) -> str:
    return _fill(QUESTIONS, key)


def statement(*key: int | str) -> str:
    return _fill(STATEMENTS, key)


def reply(*key: int | str) -> str:
    return _fill(REPLIES, key)


def message(*key: int | str) -> str:
    """Any of them, as in a chat."""
    return _fill(_ANY, key)


_ANY = (*QUESTIONS, *STATEMENTS, *REPLIES)


def company(*key: int | str) -> str:
    return (
        f"{pick(('Blue Door', 'Nordlicht', 'Casa Verde', 'Maple & Co', 'Kobo', 'Foxglove'), 'company', *key)} "
        + pick(("Outdoor", "Home", "Coffee", "Studio", "Supply"), "trade", *key)
    )
