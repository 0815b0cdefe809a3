"""Trains the small model that the tests serve with a real vLLM, on the CPU, from nothing but labelled sentences and the product's prompts.

OMP_WAIT_POLICY=passive PYTHONPATH=. python tests/vllm/train.py TRAIN.csv DOMAINS.json --dev DEV.csv

The files are CLINC150's train split (columns text, category), a JSON object domain -> intents, and, to see how it goes, the validation
split. The Python needs torch, transformers, vllm (for the prompt of its decisions route) and llmtriage's own requirements.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from haste import noisy, reworded
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from vllm.entrypoints.generate.structured_decisions.question_types import build_question

from llmtriage import Taxonomy
from llmtriage.backends.decision_questions import Limits, choices
from llmtriage.backends.decisions import request_body
from llmtriage.predictions import Example, Question
from llmtriage.prompting import IDS, Form, Prompt, fenced
from llmtriage.settings import BackendSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).parent
END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# How Qwen's tokenizers cut a text into words before they look for tokens.
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
VOCABULARY, PAIRS, DROPPED = 8000, 200, 0.1

# How often each form of the answer is asked for.
FORMS = {"code": 0.5, "code_in_json": 0.1, "id_in_json": 0.1, "rationale": 0.1, "word": 0.1, "decision": 0.1}
HALVES, WITH_EXAMPLES, EXAMPLES = 0.2, 0.25, 10

# A small model finds nothing in a long prompt until it knows what to look for: first the ticket with little around it, then with the
# end of the prompt, then with all of it. The share of the steps until when, and how much of the prompt is kept, in tokens.
PHASES = ((0.3, (4, 40)), (0.6, (60, 300)), (1.0, None))
NAMES = (
    "Aldora",
    "Brightwell",
    "Corvane",
    "Delphi",
    "Everline",
    "Farrow",
    "Greystone",
    "Halden",
    "Iverson",
    "Juniper",
    "Kestrel",
    "Lumen",
)
KINDS = (
    "requests",
    "services",
    "help desk",
    "assistant",
    "customer care",
    "support",
    "inbox",
    "questions",
    "front office",
    "hotline",
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text of the data with its intent."""

    text: str
    intent: str


@dataclass(frozen=True, slots=True)
class Sorting:
    """A taxonomy and the leaf of each intent."""

    taxonomy: Taxonomy
    leaves: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A way to ask: from a text to the chat's messages, and from a sentence to the answer."""

    messages: Callable[[str], list[dict[str, str]]]
    answer: Callable[[Sentence], str]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids of what all rows share, the rows, where their answers begin, and their intents."""

    shared: list[int]
    rows: list[list[int]]
    starts: list[int]
    intents: list[str]


def sortings(domains: Path) -> tuple[Sorting, Sorting]:
    """The ten domains and their halves."""
    return sorting(HERE / "taxonomy.yaml", domains), sorting(HERE / "halves.yaml", HERE / "halves.json")


def sorting(taxonomy: Path, intents: Path) -> Sorting:
    """A taxonomy from its file, with the leaves of the intents from a JSON object leaf -> intents."""
    groups = json.loads(intents.read_text(encoding="utf-8"))
    return Sorting(Taxonomy.load(taxonomy), {intent: leaf for leaf, group in groups.items() for intent in group})


def sentences(path: Path, known: Mapping[str, str]) -> list[Sentence]:
    """The rows of a CSV whose intent is known; those out of scope are left out."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Sentence(row["text"], row["category"]) for row in csv.DictReader(file) if row["category"] in known]


# Questions and answers


def codes_of(taxonomy: Taxonomy) -> dict[str, str]:
    """The letter of each leaf: A for the first of the file. The model knows no other assignment."""
    return dict(zip([leaf.id for leaf in taxonomy.leaves], string.ascii_uppercase, strict=False))


def asked(kind: str, sort: Sorting, examples: Sequence[Sentence], confidence: Callable[[Sentence], float]) -> Asked:
    """How `kind`, a key of `FORMS`, asks about tickets."""
    taxonomy, leaves = sort.taxonomy, sort.leaves
    codes = codes_of(taxonomy)
    shown = [Example(text=example.text, category=leaves[example.intent]) for example in examples]
    if kind == "decision":
        return Asked(decision(taxonomy, shown), lambda sentence: codes[leaves[sentence.intent]])
    prompt = Prompt(taxonomy, examples=shown, rationale=kind == "rationale")
    form = {
        "code": Form(codes=tuple(codes.values())),
        "code_in_json": Form(codes=tuple(codes.values()), in_json=True),
        "word": Form(codes=tuple(codes)),
    }.get(kind, IDS)

    def messages(text: str) -> list[dict[str, str]]:
        return prompt.render(Question(text=text, categories=taxonomy.leaves), form).as_chat()

    def answer(sentence: Sentence) -> str:
        leaf = leaves[sentence.intent]
        if kind in {"code", "word"}:
            return codes[leaf] if kind == "code" else leaf
        if kind == "code_in_json":
            return json.dumps({"category": codes[leaf]})
        about = f"The customer asks about {sentence.intent.replace('_', ' ')}."
        reason = {"rationale": about} if kind == "rationale" else {}
        return json.dumps({**reason, "category": leaf, "confidence": confidence(sentence)})

    return Asked(messages, answer)


def bodies(taxonomy: Taxonomy, examples: Sequence[Example] = ()) -> Callable[[str], dict[str, Any]]:
    """The request about a text that the decisions engine sends."""
    limits = Limits(options=len(string.ascii_uppercase), questions=1)
    choice = choices(taxonomy, taxonomy.leaves, limits, language="en", examples=examples)
    settings = BackendSettings(kind="decisions", model="tiny-clinc", dialect="systemone")
    return lambda text: request_body(settings, "systemone", fenced(text), choice)


def decision(taxonomy: Taxonomy, examples: Sequence[Example]) -> Callable[[str], list[dict[str, str]]]:
    """What vLLM's decisions route lets the model read for such a request."""
    body = bodies(taxonomy, examples)
    ((name, spec),) = body("")["questions"].items()
    question = build_question(name, spec["type"], spec["instructions"], spec["criteria"], len(spec["criteria"]))
    shown = question.type.prompt(question)
    return lambda text: [{"role": "user", "content": f"{body(text)['state']}\n\n{shown}"}]


# Tokens


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
            dropping = rng is not None and rng.random() < 0.5
            ids = self._ids(ticket + "\n", dropping=dropping) + _last(self._ids(close[1:] + rest + end), most)
            starts.append(len(ids))
            rows.append(ids + self._ids(ask.answer(sentence) + END))
        return Batch(_last(self._ids(shared), most), rows, starts, [sentence.intent for sentence in chosen])

    def _ids(self, text: str, *, dropping: bool = False) -> list[int]:
        return list((self._dropping if dropping else self._exact).encode(text).ids)


def _last(ids: list[int], most: int | None) -> list[int]:
    return ids if most is None else ids[-most:]


# Training


def exact_attention(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **rest: Any) -> Any:
    """PyTorch's own attention in 32 bits: on a CPU its backward pass in 16 bits is five times slower, while products are three times faster."""
    with torch.autocast("cpu", enabled=False):
        return sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **rest)


AttentionInterface.register("exact", exact_attention)
AttentionMaskInterface.register("exact", sdpa_mask)


def new_model(chat: PreTrainedTokenizerFast) -> Any:
    """A Qwen3 of 1.6 million parameters."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=chat.convert_tokens_to_ids(END),
            pad_token_id=chat.convert_tokens_to_ids(PAD),
            attn_implementation="exact",
        )
    )


def states(model: Any, batch: Batch) -> torch.Tensor:
    """The last hidden states of the rows, (rows, longest, width); what they share is computed once."""
    cache = model.model(input_ids=torch.tensor([batch.shared]), use_cache=True).past_key_values
    cache.batch_repeat_interleave(len(batch.rows))
    longest = max(map(len, batch.rows))
    padded = torch.tensor(
        [row + [0] * (longest - len(row)) for row in batch.rows]
    )  # attention is causal: padding at the end is never seen
    hidden: torch.Tensor = model.model(input_ids=padded, past_key_values=cache).last_hidden_state
    return hidden


def answer_loss(model: Any, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Minus the log-probability of an answer, the mean over rows."""
    places = [(row, at) for row, ids in enumerate(batch.rows) for at in range(batch.starts[row], len(ids))]
    before = hidden[[row for row, _ in places], [at - 1 for _, at in places]]
    targets = torch.tensor([batch.rows[row][at] for row, at in places])
    return cross_entropy(model.lm_head(before), targets, reduction="sum") / (len(batch.rows) * len(targets)) ** 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """What one step learns: a way to ask, for how many tickets, and how many tokens around them are kept; None: all."""

    ask: Asked
    tickets: int
    most: int | None


def plan(sorts: Sequence[Sorting], train: Sequence[Sentence], rng: random.Random, steps: int) -> Iterator[Step]:
    """The steps: each with another name of the taxonomy, other examples, another form of the answer."""
    confidence = {intent: rng.uniform(0.8, 0.97) for intent in sorted({sentence.intent for sentence in train})}

    def written(sentence: Sentence) -> float:
        return round(confidence[sentence.intent] + rng.uniform(-0.02, 0.02), 2)

    domains, halves = sorts
    for step in range(steps):
        phase, kept = next((index, kept) for index, (until, kept) in enumerate(PHASES) if step < until * steps)
        (kind,) = rng.choices(list(FORMS), list(FORMS.values())) if phase else ("code",)
        sort = halves if phase and rng.random() < HALVES else domains
        if rng.random() < 0.5:
            name = f"{rng.choice(NAMES)} {rng.choice(KINDS)} {rng.randrange(10 ** rng.randrange(1, 7))}"
            sort = Sorting(sort.taxonomy.model_copy(update={"name": name}), sort.leaves)
        shown = [] if kept or rng.random() >= WITH_EXAMPLES else examples_of(sort, train, rng)
        most = rng.randrange(*kept) if kept else None
        yield Step(asked(kind, sort, shown, written), 10 if kind == "decision" and not kept else 48, most)


def hasty(train: Sequence[Sentence], rng: random.Random) -> Callable[[int], list[Sentence]]:
    """Gives so many sentences of about equal length, as people type them; all before one comes again."""
    endless = (sentence for _ in itertools.count() for sentence in rng.sample(train, len(train)))
    pool: list[Sentence] = []

    def taken(count: int) -> list[Sentence]:
        if len(pool) < 2 * count:
            pool.extend(Sentence(noisy(sentence.text, rng), sentence.intent) for sentence in itertools.islice(endless, 1000))
            pool.sort(key=lambda sentence: len(sentence.text))
        at = rng.randrange(len(pool) - count + 1)
        some = pool[at : at + count]
        del pool[at : at + count]
        return some

    return taken


def examples_of(sort: Sorting, train: Sequence[Sentence], rng: random.Random) -> list[Sentence]:
    """Ten sentences of ten leaves."""
    leaves = rng.sample(sorted(set(sort.leaves.values())), EXAMPLES)
    return [rng.choice([sentence for sentence in train if sort.leaves[sentence.intent] == leaf]) for leaf in leaves]


def fit(
    model: Any, encoder: Encoder, sorts: Sequence[Sorting], train: Sequence[Sentence], args: argparse.Namespace
) -> Iterator[tuple[int, Any]]:
    """Train, and give now and then the step and the running mean of the weights, which is what is kept."""
    rng = random.Random(args.seed)
    intents = {intent: index for index, intent in enumerate(sorted({sentence.intent for sentence in train}))}
    side = torch.nn.Linear(model.config.hidden_size, len(intents))  # a second, finer task, thrown away afterwards
    parameters = [*model.parameters(), *side.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=args.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 100, 1.02 - step / args.steps))
    mean = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    typed = hasty(train, rng)
    began = time.monotonic()
    for step, now in enumerate(plan(sorts, train, rng, args.steps)):
        batch = encoder.batch(now.ask, typed(now.tickets), rng, most=now.most)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = states(model, batch)
            last = hidden[range(now.tickets), [start - 1 for start in batch.starts]]
            aside = cross_entropy(side(last), torch.tensor([intents[intent] for intent in batch.intents]))
            loss = answer_loss(model, hidden, batch)
        optimizer.zero_grad()
        (loss + args.aside * aside).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        mean.update_parameters(model)
        if step % 50 == 0:
            times = f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} CPU s"
            print(f"{step:5d}  {times}  answer {loss.item():.3f}  intent {aside.item():.3f}", flush=True)
        if (step + 1) % 500 == 0 or step == args.steps - 1:
            yield step + 1, mean.module


@torch.no_grad()  # type: ignore[untyped-decorator]
def accuracy(model: Any, encoder: Encoder, ask: Asked, labelled: Sequence[Sentence]) -> str:
    """Of answers of one token: how often the right one is the most probable of the whole vocabulary, and the mean log loss."""
    hits, losses = 0, []
    for at in range(0, len(labelled), 50):
        batch = encoder.batch(ask, labelled[at : at + 50])
        hidden = states(model, batch)
        logs = model.lm_head(hidden[range(len(batch.rows)), [start - 1 for start in batch.starts]]).log_softmax(-1)
        right = torch.tensor([row[start] for row, start in zip(batch.rows, batch.starts, strict=True)])
        hits += int((logs.argmax(-1) == right).sum())
        losses += (-logs.gather(1, right[:, None])).flatten().tolist()
    return f"{hits / len(labelled):.3f} (log loss {sum(losses) / len(losses):.3f})"


def main() -> None:
    """Read the arguments, train, write the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("domains", type=Path)
    parser.add_argument("--dev", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--aside", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    began = time.monotonic()
    sorts = sortings(args.domains)
    train = sentences(args.train, sorts[0].leaves)
    rng = random.Random(args.seed)
    prompts = [
        f"{message['content']}\n{ask.answer(train[0])}"
        for sort in sorts
        for kind in FORMS
        for ask in [asked(kind, sort, [], lambda _: rng.choice((0.7, 0.8, 0.9)))]
        for message in ask.messages("")
    ]
    texts = [sentence.text for sentence in train]
    chat = tokenizer([*texts, *(reworded(text, rng) for text in texts)], prompts)
    encoder = Encoder(chat)
    print(
        {
            word: chat.tokenize(word)
            for word in [*sorted(set(sorts[0].leaves.values())), "system", "user", "assistant", "yes", "no", "A"]
        }
    )
    dev = sentences(args.dev, sorts[0].leaves) if args.dev else []
    model = new_model(chat)
    for step, mean in fit(model, encoder, sorts, train, args):
        few = random.Random(step).sample(dev, 500) if dev else []
        if few and step < args.steps:
            print(accuracy(mean, encoder, asked("code", sorts[0], [], lambda _: 0.9), few), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    mean = mean.to(torch.bfloat16)
    mean.save_pretrained(args.out)
    chat.save_pretrained(args.out)
    if dev:
        mean = mean.float()
        for sort, where in zip(sorts, ("domains", "halves"), strict=True):
            for kind in ("code", "word", "decision"):
                some = dev if kind == "code" else random.Random(1).sample(dev, 300)
                print(where, kind, accuracy(mean, encoder, asked(kind, sort, [], lambda _: 0.9), some), flush=True)
    print(f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} CPU s in all")


if __name__ == "__main__":
    main()
