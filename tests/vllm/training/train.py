"""Trains the small model that the tests serve with a real vLLM, on the CPU, from labelled sentences and the product's prompts alone.

OMP_WAIT_POLICY=passive PYTHONPATH=. python tests/vllm/training/train.py TRAIN.csv DOMAINS.json --dev DEV.csv

The files are CLINC150's train split (columns text, category), a JSON object domain -> intents, and, to see how it goes, the validation
split. Sentences of this project's own are in phrases.csv. The Python needs torch, transformers, vllm (for the prompt of its decisions
route) and llmtriage's own requirements.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from asking import FORMS, NONE, Asked, Sentence, Sorting, asked, sentences, sortings
from haste import noisy, reworded
from tokens import END, PAD, VOCABULARY, Batch, Encoder, tokenizer
from torch.nn.functional import cross_entropy, dropout
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent

# A small model finds nothing in a long prompt until it knows what to look for. So of the prompt around a ticket only few tokens are kept
# at first, then ever more, and from the last share of the steps on all. While the form of the answer is cut off, letters are learnt.
GROWS, WHOLE = 0.2, 0.55  # the shares of the steps where that begins
FIRST, LAST, FORM_SEEN = 40, 1000, 150  # tokens
TICKETS, ROOM = 64, 9000  # in a step; what a step computes at most, in tokens

HALVES, WITH_EXAMPLES, EXAMPLES = 0.2, 0.25, 10  # the shares of the steps with the twenty halves, and with ten examples
ANOTHER, BESIDE = (
    0.12,
    0.08,
)  # the shares of tickets with a second sentence of the same intent, and with one that is beside the point
OWN = 3  # how often one of our own sentences comes for each time that one of the data does
HIDDEN_OUT = 0.05
START_STD = 0.06  # of new weights: what a narrow model needs to learn soon

# Before all that, what stands for each token is learnt from sentences as bags of tokens: epochs, sentences in a step, and its rate.
BAG_EPOCHS, BAG, BAG_RATE = 4, 256, 0.01
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
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            initializer_range=START_STD,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=chat.convert_tokens_to_ids(END),
            pad_token_id=chat.convert_tokens_to_ids(PAD),
            attn_implementation="exact",
        )
    )


def word_vectors(encoder: Encoder, train: Sequence[Sentence], width: int, rng: random.Random) -> torch.Tensor:
    """A vector for each token, (tokens, width), whose mean over a sentence tells its intent; as long as a new model's in the mean."""
    known = [sentence for sentence in train if sentence.intent != NONE]
    intents = {intent: index for index, intent in enumerate(sorted({sentence.intent for sentence in known}))}
    bags, out = torch.nn.EmbeddingBag(VOCABULARY, width), torch.nn.Linear(width, len(intents))
    torch.nn.init.normal_(bags.weight, std=0.1)
    optimizer = torch.optim.AdamW([*bags.parameters(), *out.parameters()], lr=BAG_RATE)
    steps = BAG_EPOCHS * -(-len(known) // BAG)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(BAG_EPOCHS):
        mixed = rng.sample(known, len(known))
        for at in range(0, len(mixed), BAG):
            some = mixed[at : at + BAG]
            rows = [torch.tensor(encoder.text(noisy(sentence.text, rng), rng)) for sentence in some]
            offsets = torch.tensor([0, *map(len, rows[:-1])]).cumsum(0)
            guess = out(dropout(bags(torch.cat(rows), offsets), 0.2))
            loss = cross_entropy(guess, torch.tensor([intents[sentence.intent] for sentence in some]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"bags of tokens: loss {loss.item():.2f}", flush=True)
    vectors = bags.weight.detach()
    return vectors * (START_STD * width**0.5 / vectors.norm(dim=1).mean())


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


def at_the_answers(hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The states from which the first tokens of the answers are read, (rows, width)."""
    return hidden[range(len(batch.rows)), [start - 1 for start in batch.starts]]


def answer_loss(model: Any, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Minus the log-probability of an answer, the mean over rows; where a sentence belongs nowhere, every code is as right as the others."""
    places = [(row, at) for row, ids in enumerate(batch.rows) for at in range(batch.starts[row], len(ids))]
    targets = torch.tensor([batch.rows[row][at] for row, at in places])
    before = hidden[[row for row, _ in places], [at - 1 for _, at in places]]
    loss = cross_entropy(model.lm_head(before), targets, reduction="sum") / max(1, len(batch.rows) * len(targets)) ** 0.5
    nowhere = [row for row, intent in enumerate(batch.intents) if intent == NONE]
    if not nowhere or not batch.codes:
        return loss
    logs = model.lm_head(at_the_answers(hidden, batch)[nowhere]).log_softmax(-1)
    return loss - logs[:, batch.codes].mean(1).sum() / len(batch.rows)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step learns: a way to ask, for how many tickets, and how many tokens around them are kept; None: all."""

    kind: str
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
        grown = (step / steps - GROWS) / (WHOLE - GROWS)
        kept = round(FIRST * (LAST / FIRST) ** max(0, grown))
        kinds = list(FORMS) if kept >= FORM_SEEN else ["code", "decision"]
        (kind,) = rng.choices(kinds, [FORMS[kind] for kind in kinds])
        most = None if grown >= 1 else rng.randint(kept // 4, kept)
        if most and kind == "decision":  # its ticket stands first, far from the answer: every distance from the beginning
            most = round(math.exp(rng.uniform(math.log(FIRST / 4), math.log(LAST))))
        sort = halves if kept >= FORM_SEEN and rng.random() < HALVES else domains
        if rng.random() < 0.5:
            name = f"{rng.choice(NAMES)} {rng.choice(KINDS)} {rng.randrange(10 ** rng.randrange(1, 7))}"
            sort = Sorting(sort.taxonomy.model_copy(update={"name": name}), sort.leaves)
        shown = examples_of(sort, train, rng) if not most and rng.random() < WITH_EXAMPLES else []
        alone = (most or LAST) if kind == "decision" else 0  # the ticket comes first there, so that nothing is shared
        yield Step(kind, asked(kind, sort, shown, written), min(TICKETS, ROOM // (40 + alone)), most)


def hasty(train: Sequence[Sentence], rng: random.Random) -> Callable[[int], list[Sentence]]:
    """Gives so many sentences of about equal length, as people type them; all before one comes again."""
    endless = (sentence for _ in itertools.count() for sentence in rng.sample(train, len(train)))
    alike: dict[str, list[str]] = {}
    for sentence in train:
        alike.setdefault(sentence.intent, []).append(sentence.text)
    pool: list[Sentence] = []

    def told(sentence: Sentence) -> str:
        text, chance = noisy(sentence.text, rng), rng.random()
        if chance > ANOTHER + BESIDE:
            return text
        pair = [text, noisy(rng.choice(alike[sentence.intent if chance < ANOTHER else NONE]), rng)]
        return " ".join(pair if rng.random() < 0.5 else pair[::-1])

    def taken(count: int) -> list[Sentence]:
        if len(pool) < 2 * count:
            pool.extend(Sentence(told(sentence), sentence.intent) for sentence in itertools.islice(endless, 2000))
            pool.sort(key=lambda sentence: len(sentence.text))
        at = rng.randrange(len(pool) - count + 1)
        some = pool[at : at + count]
        del pool[at : at + count]
        return some

    return taken


def examples_of(sort: Sorting, train: Sequence[Sentence], rng: random.Random) -> list[Sentence]:
    """Ten sentences of ten leaves."""
    leaves = rng.sample(sorted(set(sort.leaves.values())), EXAMPLES)
    return [rng.choice([sentence for sentence in train if sort.leaves.get(sentence.intent) == leaf]) for leaf in leaves]


def fit(
    model: Any, encoder: Encoder, sorts: Sequence[Sorting], train: Sequence[Sentence], args: argparse.Namespace
) -> Iterator[tuple[int | None, Any]]:
    """Train, and give now and then how much of the prompts is kept and the running mean of the weights, which is what is learnt."""
    rng = random.Random(args.seed)
    intents = {intent: index for index, intent in enumerate(sorted({sentence.intent for sentence in train} - {NONE}))}
    side = torch.nn.Linear(model.config.hidden_size, len(intents))  # a second, finer task, thrown away afterwards
    parameters = [*model.parameters(), *side.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=args.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 100, 1.02 - step / args.steps))
    mean = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    typed = hasty(train, rng)
    losses: dict[str, list[float]] = {}
    began = time.monotonic()
    for step, now in enumerate(plan(sorts, train, rng, args.steps)):
        batch = encoder.batch(now.ask, typed(now.tickets), rng, most=now.most)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = dropout(states(model, batch), HIDDEN_OUT)
            right = torch.tensor([intents.get(intent, -100) for intent in batch.intents])
            aside = cross_entropy(side(at_the_answers(hidden, batch)), right)
            loss = answer_loss(model, hidden, batch)
        optimizer.zero_grad()
        (loss + args.aside * aside).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        mean.update_parameters(model)
        losses.setdefault(now.kind, []).append(aside.item())
        if (step + 1) % 100 == 0:
            means = "  ".join(f"{kind} {sum(some) / len(some):.2f}" for kind, some in sorted(losses.items()))
            times = f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} CPU s"
            print(f"{step + 1:5d}  {times}  kept {now.most or 'all'}  loss of the intent: {means}", flush=True)
            losses.clear()
        if (step + 1) % 500 == 0 or step == args.steps - 1:
            yield now.most, mean.module


@torch.no_grad()  # type: ignore[untyped-decorator]
def accuracy(model: Any, encoder: Encoder, ask: Asked, labelled: Sequence[Sentence], most: int | None = None) -> str:
    """How often every token of the right answer is the most probable one after those before it, and the mean log loss of the first."""
    hits, losses = 0, []
    model.eval()
    for at in range(0, len(labelled), 50):
        batch = encoder.batch(ask, labelled[at : at + 50], most=most)
        logs = model.lm_head(states(model, batch)).log_softmax(-1)
        for row, ids in enumerate(batch.rows):
            start = batch.starts[row]
            hits += logs[row, start - 1 : len(ids) - 1].argmax(-1).tolist() == ids[start:]
            losses.append(-logs[row, start - 1, ids[start]].item())
    model.train()
    return f"{hits / len(labelled):.3f} (log loss {sum(losses) / len(losses):.3f})"


def main() -> None:
    """Read the arguments, train, write the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("domains", type=Path)
    parser.add_argument("--dev", type=Path)
    parser.add_argument("--own-dev", type=int, default=0, help="so many of our own sentences are not learnt, but tried")
    parser.add_argument("--out", type=Path, default=HERE.parent / "model")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--aside", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    began = time.monotonic()
    sorts = sortings(args.domains)
    known = sorts[0].leaves
    rng = random.Random(args.seed)
    own = rng.sample(phrases := sentences(HERE / "phrases.csv", "intent", known), len(phrases))
    train = [*sentences(args.train, "category", known), *OWN * own[args.own_dev :]]
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
    tried = {
        "dev": sentences(args.dev, "category", known) if args.dev else [],
        "own": own[: args.own_dev],
    }
    tried = {name: [sentence for sentence in some if sentence.intent != NONE] for name, some in tried.items()}
    model = new_model(chat)
    model.model.embed_tokens.weight.data = word_vectors(encoder, train, model.config.hidden_size, rng)
    for most, mean in fit(model, encoder, sorts, train, args):
        for name, some in tried.items():
            if some:
                few = random.Random(0).sample(some, min(300, len(some)))
                print(name, accuracy(mean, encoder, asked("code", sorts[0], [], lambda _: 0.9), few, most), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    mean = mean.to(torch.bfloat16)
    mean.save_pretrained(args.out)
    chat.save_pretrained(args.out)
    mean = mean.float()
    for kind, (name, some), sort in itertools.product(FORMS, tried.items(), sorts):
        if some and kind not in ("id_in_json", "rationale"):
            few = random.Random(1).sample(some, min(300, len(some)))
            told = accuracy(mean, encoder, asked(kind, sort, [], lambda _: 0.9), few)
            print(f"{kind:14}{name:5}{len(sort.taxonomy.leaves)} categories  {told}", flush=True)
    print(f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} CPU s in all")


if __name__ == "__main__":
    main()
