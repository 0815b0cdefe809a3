"""From a question to the messages a chat model reads: Jinja templates, rendered so that all tickets share the longest possible prefix.

The system message holds instructions, taxonomy and shared examples and is the same, byte for byte, for every ticket of a run. The user
message holds per-ticket examples and, last, the ticket.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmtriage.errors import InputError, UnknownNameError, short
from llmtriage.resources import shipped
from llmtriage.taxonomy import Taxonomy, digest, in_language

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from llmtriage.predictions import Example, Question
    from llmtriage.taxonomy import Category

_FORMAT = "2"  # of the data that templates get; part of the prompt hash
_SYSTEM, _USER = "system.j2", "user.j2"
_GAP = "\n[…]\n"  # stands where the middle of a text was left out
_PREFIXES = 256  # system messages that are kept
_NONCE_LENGTH = 12  # hex digits: 48 bits, more than a writer can search for a text that holds its own hash

# What tokenizers turn into control tokens: <|im_start|>, </s>, <think>, <｜User｜>, <start_of_turn>, [INST], [/INST], [gMASK].
_ANGLE = re.compile(r"<(?=\S)")
_BRACKET = re.compile(r"\[(/?[a-z]?[A-Z_]{2,})\]")
_WIDE = re.compile("[\u2e80-\uffef]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How an answer is asked for. The default: a JSON object that names a category by its id, and a number.

    Attributes:
        codes: What stands for each category of the question, in their order; empty: their ids.
        in_json: Whether a code is to stand in a JSON object, not alone.
        within: The id of the node that the ticket is taken to belong to; None: nothing is known of it.
    """

    codes: tuple[str, ...] = ()
    in_json: bool = False
    within: str | None = None


IDS = Form()


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What is sent: the same `system` for all tickets of a run, and the `user` message of one."""

    system: str = field(repr=False)
    user: str = field(repr=False)

    def as_chat(self) -> list[dict[str, str]]:
        """The two messages as a chat API takes them."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


class Prompt:
    """Renders questions about one taxonomy with one set of templates."""

    def __init__(
        self,
        taxonomy: Taxonomy,
        *,
        folder: Path | None = None,
        language: str = "en",
        examples: Sequence[Example] = (),
        rationale: bool = False,
    ) -> None:
        """Load the templates and try them once.

        Args:
            taxonomy: Where names, descriptions and precedence come from.
            folder: A folder with `system.j2` and `user.j2`; None: the shipped ones for `language`.
            language: Of the shipped templates ("en", "zh") and of the taxonomy's texts.
            examples: Shown to the model with every ticket, in this order.
            rationale: Ask for a sentence of explanation before the category.

        Raises:
            InputError: A template is missing, broken, or does not show the ticket.
        """
        self.taxonomy = taxonomy
        self.language = language
        self.examples = tuple(examples)
        self.rationale = rationale
        self._folder = folder or _shipped_folder(language)
        # Read once: what is hashed is what is rendered, included templates too.
        self._sources = {path.name: _source(path) for path in sorted(self._folder.glob("*.j2"))}
        self._environment = _environment(self._sources)
        self._templates = {name: self._load(name) for name in (_SYSTEM, _USER)}
        self._prefixes: dict[tuple[tuple[str, ...], Form], str] = {}
        self._codes_shown: set[bool] = set()  # in JSON or alone, as far as that was checked
        self._check()

    @property
    def hash(self) -> str:
        """Identity of the wording: templates, language, options. Taxonomy and examples have hashes of their own."""
        options = {"language": self.language, "rationale": self.rationale}
        return digest({"format": _FORMAT, "templates": self._sources, **options})

    def render(self, question: Question, form: Form = IDS) -> Messages:
        """The messages for one question.

        Raises:
            InputError: The answer is to be a code and the templates show none.
        """
        return Messages(
            system=self._prefix(question.categories, form),
            user=self._run(
                _USER, ticket=fenced(question.text), examples=self._shown(question.examples, question.categories, form)
            ),
        )

    def _prefix(self, categories: tuple[Category, ...], form: Form) -> str:
        key = tuple(category.id for category in categories), form
        if key not in self._prefixes:
            if len(self._prefixes) >= _PREFIXES:  # where every ticket has a list of its own
                self._prefixes.clear()
            self._prefixes[key] = self._system(categories, form)
        return self._prefixes[key]

    def _system(self, categories: Sequence[Category], form: Form) -> str:
        if form.codes and form.in_json not in self._codes_shown:
            self._check_codes(in_json=form.in_json)
        return self._rendered(categories, form)

    def _rendered(self, categories: Sequence[Category], form: Form) -> str:
        codes: Sequence[str | None] = form.codes or [None] * len(categories)
        return self._run(
            _SYSTEM,
            taxonomy=self._about(),
            categories=[self._described(category) | {"code": code} for category, code in zip(categories, codes, strict=True)],
            examples=self._shown(self.examples, categories, form),
            rationale=self.rationale and not form.codes,
            codes=list(form.codes),
            in_json=form.in_json,
            within=[node.label(self.language) for node in self.taxonomy.path(form.within)] if form.within else [],
        )

    def _check_codes(self, *, in_json: bool) -> None:
        """Find codes that stand nowhere else; a letter would be found in any text."""
        leaves = self.taxonomy.leaves
        codes = tuple(digest(["code", place]) for place in range(len(leaves)))
        text = self._rendered(leaves, Form(codes=codes, in_json=in_json))
        if not all(code in text for code in codes):
            remedy = "show {{ category.code }} where there are codes, as the shipped templates do, or use --reading json"
            raise InputError("it does not show the codes of categories", file=self._folder / _SYSTEM, remedy=remedy)
        self._codes_shown.add(in_json)

    def _shown(self, examples: Sequence[Example], categories: Sequence[Category], form: Form) -> list[dict[str, str]]:
        """Examples with the answers they would get; those that none of `categories` answers are left out."""
        codes = form.codes or [category.id for category in categories]
        answers = dict(zip([category.id for category in categories], codes, strict=True))
        shown = []
        for example in examples:
            option = option_for(self.taxonomy, example.category, answers)
            if option is not None:
                code = answers[option]
                answer = code if form.codes and not form.in_json else f'{{"category": {_json(code)}}}'
                shown.append({"ticket": fenced(example.text), "category": option, "answer": answer})
        return shown

    def _about(self) -> dict[str, Any]:
        name = self.taxonomy.name
        return {
            "name": in_language(name, self.language) if name else "",
            "precedence": [in_language(line, self.language) for line in self.taxonomy.precedence],
        }

    def _described(self, category: Category) -> dict[str, Any]:
        path = [node.label(self.language) for node in self.taxonomy.path(category.id)]
        return {
            "id": category.id,
            "path": [] if path == [category.id] else path,
            "description": in_language(category.description, self.language) if category.description else "",
            "parts": [child.label(self.language) for child in category.children],
            "includes": [in_language(line, self.language) for line in category.includes],
            "excludes": [in_language(line, self.language) for line in category.excludes],
            "examples": [defused(text) for text in category.examples],
            "catch_all": category.catch_all,
        }

    def _load(self, name: str) -> jinja2.Template:
        try:
            return self._environment.get_template(name)
        except jinja2.TemplateNotFound:
            remedy = f"a prompt folder holds {_SYSTEM} and {_USER}"
            raise InputError(f"no template {name}", file=self._folder, remedy=remedy) from None
        except jinja2.TemplateSyntaxError as error:
            raise InputError(
                str(error.message), file=self._folder / name, line=error.lineno, remedy="mend the template"
            ) from None

    def _run(self, name: str, **data: Any) -> str:
        try:
            return self._templates[name].render(**data).strip() + "\n"
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            remedy = "see the shipped templates for the names that exist"
            raise InputError(short(str(error) or type(error).__name__, 160), file=self._folder / name, remedy=remedy) from None

    def _check(self) -> None:
        """Fail at the start, not at the first ticket: both templates render, and the user message ends with the ticket."""
        self._prefix(self.taxonomy.leaves, IDS)
        ticket = fenced("a text " * 1000)
        if not self._run(_USER, ticket=ticket, examples=[]).rstrip().endswith(ticket):
            raise InputError("the ticket is not last", file=self._folder / _USER, remedy="end the template with {{ ticket }}")


def option_for(taxonomy: Taxonomy, category: str, options: Container[str]) -> str | None:
    """The one of `options` that `category` is or belongs to; None where there is none."""
    ids = [node.id for node in taxonomy.path(category)] if category in taxonomy else [category]
    return next((name for name in ids if name in options), None)


def fenced(text: str) -> str:
    """`text` between two tags that it cannot contain, with everything that could be a control token of a chat template broken up.

    The tags carry digits of the text's own hash: the same text always gives the same prompt, yet a writer cannot foresee them.
    """
    safe = defused(text)
    nonce = _nonce(safe)
    return f"<ticket-{nonce}>\n{safe}\n</ticket-{nonce}>"


def defused(text: str) -> str:
    """`text` with a blank put into everything that a tokenizer might read as a control token; lone surrogates replaced."""
    text = _SURROGATE.sub("\ufffd", text)
    return _BRACKET.sub(r"[ \1 ]", _ANGLE.sub("< ", text))


def estimated_tokens(text: str) -> int:
    """A rough count without a tokenizer: one token per ideograph and per four other bytes.

    An estimate for planning: real tokenizers differ by about a third either way.
    """
    wide = len(_WIDE.findall(text))
    narrow = len(text.encode("utf-8", "replace")) - 3 * wide
    return wide + -(-max(narrow, 0) // 4)


def shortened(text: str, tokens: int) -> tuple[str, int]:
    """`text` without its middle where it has more than about `tokens` tokens, and how many characters were left out.

    The beginning says what it is about and the end what is wanted, so both stay, two thirds and one third.
    """
    estimate = estimated_tokens(text)
    if estimate <= tokens:
        return text, 0
    kept = max(2, len(text) * max(tokens, 1) // estimate - len(_GAP))
    head, tail = kept - kept // 3, kept // 3
    return f"{text[:head]}{_GAP}{text[len(text) - tail :]}", len(text) - head - tail


def _nonce(text: str) -> str:
    value = hashlib.sha256(text.encode()).hexdigest()
    while value[:_NONCE_LENGTH] in text:
        value = hashlib.sha256(value.encode()).hexdigest()
    return value[:_NONCE_LENGTH]


def _environment(sources: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.DictLoader(sources),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is a prompt, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = _json
    return environment


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("not UTF-8", file=path, remedy="save the template as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="check its permissions") from None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shipped_folder(language: str) -> Path:
    folder = shipped("prompts")
    known = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if language not in known:
        raise UnknownNameError.among("prompt language", language, known)
    return folder / language
