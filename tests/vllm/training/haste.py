"""Makes the data's sentences look like what more people type: other words, wrong keys, missing apostrophes, second sentences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

# Words that can stand for one another in a request without making it one of another domain, a group a line.
_GROUPS = [line.split() for line in (Path(__file__).parent / "alike.txt").read_text(encoding="utf-8").splitlines()]
_OTHERS = {word.lower(): group for group in reversed(_GROUPS) for word in group}
_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEAR = {letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _ROWS for at, letter in enumerate(row)}
_CHAT = {
    "about": "abt", "and": "n", "are": "r", "because": "cuz", "before": "b4", "for": "4", "going to": "gonna", "got to": "gotta",
    "have to": "hafta", "how are you": "how r u", "i am": "im", "i do not know": "idk", "in my opinion": "imo", "kind of": "kinda",
    "let me": "lemme", "message": "msg", "minutes": "mins", "need to": "needa", "okay": "ok", "people": "ppl", "please": "plz",
    "really": "rly", "right now": "rn", "see you": "cya", "something": "smth", "thanks": "thx", "thank you": "ty", "though": "tho",
    "through": "thru", "to": "2", "today": "2day", "tomorrow": "tmrw", "tonight": "tonite", "want to": "wanna", "what": "wat",
    "with": "w", "without": "w/o", "you": "u", "your": "ur",
}  # fmt: skip
_CHAT_WORDS = re.compile(rf"\b({'|'.join(sorted(_CHAT, key=len, reverse=True))})\b", re.IGNORECASE)
_BEFORE = (
    "Hi,", "Hello,", "Hey,", "Hi there,", "Hey there!", "Good morning,", "Good evening.", "Hello!", "Please,", "Excuse me,", "Sorry,",
    "Quick question:", "Quick one:", "One more thing:", "OK so", "Um,", "So,", "Well,", "Listen,", "Right,", "Could you help me?",
    "I have a question.", "Sorry to bother you.", "I'm in a hurry.", "Not sure who to ask.", "I wonder,", "Just wondering,", "Hmm,",
    "This is urgent!", "I need some help.", "My partner asked me this:", "It's me again.", "I forgot:", "Can you do me a favour?",
    "My head is spinning today.", "I've had a long day.", "The kids are shouting.", "I can't remember,", "Before I forget:",
    "A friend of mine told me to ask.", "I tried to look it up and found nothing.", "Ok,", "Yo,", "Hiya,", "Dear all,",
)  # fmt: skip
_AFTER = (
    "Thanks!", "Thank you.", "Thanks a lot!", "Thanks in advance.", "Please.", "please", "thx", "Cheers.", "asap", "Can you help?",
    "Any idea?", "I'm in a hurry.", "It's urgent.", "No rush.", "Let me know.", "I keep forgetting.", "if you can", "if possible",
    "Just curious.", "That would be great.", "Sorry for the trouble.", "I can never remember.", "lol", "haha", "My wife wants to know.",
    "My boss is waiting.", "We are all waiting here.", "I asked twice already.", "It drives me mad.", "before I forget", "right now",
    "I have been wondering for a while.", "The others say I'm wrong.", "for me", "would you", "Take your time.", "Much appreciated!",
)  # fmt: skip


def reworded(text: str, rng: random.Random, share: float = 0.3) -> str:
    """`text` with about `share` of the words that have others like them replaced by one of these."""

    def other(found: re.Match[str]) -> str:
        group = _OTHERS.get(found[0].lower())
        return rng.choice(group).replace("_", " ") if group and rng.random() < share else found[0]

    return _WORD.sub(other, text)


def noisy(text: str, rng: random.Random) -> str:
    """`text` as somebody might have typed it; now and then as it is."""
    text = reworded(text, rng) if rng.random() < 0.6 else text
    text = _thinned(text, rng, rng.choice((0, 0, 0, 0.1, 0.25)))
    if rng.random() < 0.3:
        text = _CHAT_WORDS.sub(lambda found: _CHAT[found[0].lower()] if rng.random() < 0.5 else found[0], text)
    if rng.random() < 0.3:
        text = text.replace("'", "")
    text = _mistyped(text, rng, rng.choice((0, 0, 0.05, 0.15)))
    tidy = rng.random() < 0.5
    if tidy:
        text = re.sub(r"\bi\b", "I", text[:1].upper() + text[1:]).rstrip(".?! ") + rng.choice((".", "?", "?", "!", ""))
    elif rng.random() < 0.7:
        text = text.lower()
    if rng.random() < 0.2:
        text = f"{_cased(rng.choice(_BEFORE), rng, tidy=tidy)} {text}"
    if rng.random() < 0.2:
        text = f"{text} {_cased(rng.choice(_AFTER), rng, tidy=tidy)}"
    return text.upper() if rng.random() < 0.02 else text


def _thinned(text: str, rng: random.Random, share: float) -> str:
    """`text` without about `share` of its words, in which three at least stay: every word is to tell something."""
    words = text.split()
    kept = [word for word in words if rng.random() >= share]
    return " ".join(kept if len(kept) >= 3 else words)


def _cased(text: str, rng: random.Random, *, tidy: bool) -> str:
    if tidy:
        return text
    text = text.lower()
    return text.rstrip(".!,?") if rng.random() < 0.5 else text


def _mistyped(text: str, rng: random.Random, share: float) -> str:
    """`text` with one wrong key in about `share` of the words of four letters and more."""
    return " ".join(_slip(word, rng) if len(word) > 3 and rng.random() < share else word for word in text.split(" "))


def _slip(word: str, rng: random.Random) -> str:
    """Two letters changed places, one left out, one twice, or one that lies beside it."""
    at = rng.randrange(1, len(word) - 1)
    letter, rest = word[at], word[at + 1 :]
    beside = rng.choice(_NEAR.get(letter, letter))
    return word[:at] + rng.choice((word[at + 1] + letter + word[at + 2 :], rest, letter + letter + rest, beside + rest))
