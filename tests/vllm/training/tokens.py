"""A tokenizer learnt from the sentences and the prompts, and batches of its tokens."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asking import NONE
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asking import Asked, Sentence

END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# How Qwen's tokenizers cut a text into words before they look for tokens.
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
VOCABULARY, PAIRS, DROPPED = 8000, 200, 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids of what all rows share, the rows, where their answers begin, their intents, and the codes, where one is the answer."""

    shared: list[int]
    rows: list[list[int]]
    starts: list[int]
    intents: list[str]
    codes: list[int]


def tokenizer(texts: Sequence[str], prompts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level pairs learnt from sentences and prompts; pairs of capitals are among them, so that two-letter codes are one token."""
    rng = random.Random(0)
    pairs = rng.sample([a + b for a in string.ascii_uppercase for b in string.ascii_uppercase], PAIRS)
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    learnt.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [
        *texts,
        *(text.capitalize() for text in texts),
        *50 * list(prompts),
        *50 * ["system\nuser\nassistant\nyes\nno", *pairs],
    ]
    learnt.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=learnt,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT,
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )


class Encoder:
    """Makes batches of token ids."""

    def __init__(self, chat: PreTrainedTokenizerFast) -> None:
        """Keep the tokenizer, and a copy that leaves out merges at random: a word then comes in many spellings."""
        self._chat = chat
        self._exact = chat.backend_tokenizer
        self._dropping = Tokenizer.from_str(self._exact.to_str())
        self._dropping.model.dropout = DROPPED

    def batch(
        self, ask: Asked, chosen: Sequence[Sentence], rng: random.Random | None = None, *, most: int | None = None
    ) -> Batch:
        """A row for each sentence.

        Args:
            ask: What is asked about them.
            chosen: The sentences.
            rng: Where given, half of the texts come in other tokens than a server would make of them.
            most: How many tokens stay of what is not the ticket, on either side of it, the last ones; None: all.
        """
        shared, rows, starts = "", [], []
        for sentence in chosen:
            messages = ask.messages(sentence.text)
            whole = self._chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            shared, user, end = whole.rpartition(messages[-1]["content"])
            ticket, close, rest = user.partition("\n</ticket-")
            ids = self.text(ticket + "\n", rng) + _last(self.text(close[1:] + rest + end), most)
            starts.append(len(ids))
            rows.append(ids + self.text("" if sentence.intent == NONE else ask.answer(sentence) + END))
        codes = [token for code in ask.codes for token in self.text(code)]
        return Batch(_last(self.text(shared), most), rows, starts, [sentence.intent for sentence in chosen], codes)

    def text(self, text: str, rng: random.Random | None = None) -> list[int]:
        """The tokens of one text; with `rng`, half of the time others than a server would make of it."""
        dropping = rng is not None and rng.random() < 0.5
        return list((self._dropping if dropping else self._exact).encode(text).ids)


def _last(ids: list[int], most: int | None) -> list[int]:
    return ids if most is None else ids[-most:]
