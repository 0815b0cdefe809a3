"""What a server can do, as plain data. Everything here was seen in an answer; nothing comes from a table of names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from llmtriage.backends.dialect import Json, Switch

Kept = Literal["honoured", "ignored", "refused", "unknown"]
"""Whether an instruction was kept to; "unknown": no answer came that says so."""

Listed = Literal["refused", "absent", "null", "empty", "listed", "unknown"]
"""What came where log-probabilities were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answers.

    Attributes:
        server: The kind of server, where a route of its own tells it ("vLLM", "llama.cpp", "Ollama").
        version: Of the server, where it tells.
        listed: The models it lists; None: it has no list.
        model_true: The model that is loaded, or that an answer names; None: nothing tells.
        context: Tokens of the window, prompt and answer together, as the server says; None: it does not.
        name_checked: Whether a model name that does not exist is refused; None: not known.
    """

    server: str | None = None
    version: str | None = None
    listed: tuple[str, ...] | None = None
    model_true: str | None = None
    context: int | None = None
    name_checked: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonModes:
    """How the server can be held to JSON.

    Attributes:
        schema: A JSON schema.
        chinese: A JSON schema with Chinese names; looked at only where `schema` is honoured.
        object: Any JSON object.
        prompt: In the prompt alone.
    """

    schema: Kept = "unknown"
    chinese: Kept = "unknown"
    object: Kept = "unknown"
    prompt: Kept = "unknown"

    @property
    def best(self) -> Json | None:
        """The strictest way that works; None: none does."""
        modes: dict[Json, Kept] = {"schema": self.schema, "object": self.object, "prompt": self.prompt}
        return next((mode for mode, kept in modes.items() if kept == "honoured"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """Whether the model thinks before it answers.

    Attributes:
        switch: What is sent against it.
        plain: Whether it thinks when no switch is sent; None: no answer came that says so.
        switched: Whether it thinks when the switch is sent; None: the switch was refused, or no answer came.
        works: The switch that keeps it from thinking, the given one before others; "leave": none is needed; None: none does.
    """

    switch: Switch
    plain: bool | None = None
    switched: bool | None = None
    works: Switch | None = None

    @property
    def state(self) -> Literal["off", "on", "unknown"]:
        """As requests are sent now."""
        if self.switched is None:
            return "unknown"
        return "on" if self.switched else "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProbs:
    """Log-probabilities of the first token of an answer.

    Attributes:
        state: What came in the best form that was taken.
        form: "openai" (`logprobs: true, top_logprobs: n`) or "integer" (`logprobs: n`).
        most: The most that one position listed.
        both: Whether both labels of a question with two were among them, in English and in Chinese.
        mass: The probability of both labels together, the smaller of the two languages.
        token_ids: Whether any token can be asked for by its id (`logprob_token_ids`); every id that was asked for came back.
    """

    state: Listed = "unknown"
    form: Literal["openai", "integer"] = "openai"
    most: int = 0
    both: bool = False
    mass: float | None = None
    token_ids: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What became of long prompts.

    Attributes:
        tested: Tokens of the longest prompt that was sent, by the server's own measure where it counts, else by our estimate.
        read: The most prompt tokens the server said it read; None: it does not count.
        longest_whole: Tokens of the longest prompt that was read from its beginning; None: none was.
        refused_at: Tokens of the shortest prompt that was refused for its length; None: none was.
        cut: Whether the beginning of a long prompt was lost without an error; None: nothing tells.
        recalled: Whether the word at the beginning of the longest answered prompt was repeated; None: no answer came.
    """

    tested: int = 0
    read: int | None = None
    longest_whole: int | None = None
    refused_at: int | None = None
    cut: bool | None = None
    recalled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a chat server can do with one model.

    Attributes:
        url: Where requests go.
        model: The name that is asked for.
        keyed: Whether a key was sent.
        identity: Who answers.
        limit: The field that limits an answer.
        temperature: Whether a temperature is taken.
        counts: Whether answers say how many prompt tokens were read.
        tokenizer: The route that turns text into token ids; None: there is none.
        json: How it can be held to JSON.
        thinking: Whether it thinks.
        logprobs: Log-probabilities.
        window: Long prompts; None: not probed.
    """

    url: str
    model: str
    keyed: bool
    identity: Identity = Identity()
    limit: str = "max_tokens"
    temperature: bool = True
    counts: bool = False
    tokenizer: str | None = None
    json: JsonModes = JsonModes()
    thinking: Thinking = field(default_factory=lambda: Thinking(switch="leave"))
    logprobs: LogProbs = LogProbs()
    window: Window | None = None
