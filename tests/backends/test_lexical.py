"""The embedded engine on tiny data in two languages."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtriage.backends import lexical
from llmtriage.backends.lexical import METHOD, LexicalBackend
from llmtriage.errors import UnknownNameError
from llmtriage.predictions import Example, Floats, Prediction, Question, Scores
from llmtriage.protocols import Backend
from llmtriage.settings import default_cache_dir
from llmtriage.taxonomy import Category, Taxonomy

TAXONOMY = Taxonomy(
    categories=(
        Category(
            id="money",
            name={"en": "Money", "zh": "资金"},
            children=(
                Category(id="Refund_not_showing_up", name={"zh": "退款未到账"}),
                Category(id="reverted_card_payment?", name={"en": "Card payment came back", "zh": "刷卡付款被退回"}),
                Category(id="cashBack", description={"en": "Bonus for shopping", "zh": "购物返现"}),
            ),
        ),
        Category(id="parcel", name={"en": "Where is my parcel", "zh": "包裹在哪里"}, includes=("tracking number", "快递单号")),
        Category(id="other", catch_all=True),
    )
)
IDS = [leaf.id for leaf in TAXONOMY.leaves]
LABELLED = {
    "Refund_not_showing_up": (
        "I sent the shoes back, my money is missing",
        "give me the money for the returned shoes",
        "钱还没退给我",
    ),
    "reverted_card_payment?": ("my visa was charged and then it was undone", "the shop says visa was undone", "付款后又被撤销了"),
    "cashBack": ("how much bonus do I earn", "my bonus for last month", "返利什么时候发"),
    "parcel": ("the courier never came", "courier left it with a neighbour", "快递员一直没来"),
    "other": ("hello there", "thanks a lot", "你好"),
}
EXAMPLES = tuple(Example(text=text, category=category) for category, texts in LABELLED.items() for text in texts)
TRAINED = LexicalBackend(TAXONOMY, EXAMPLES)
UNTRAINED = LexicalBackend(TAXONOMY)


def _best(backend: LexicalBackend, text: str) -> str:
    return IDS[int(backend.log_scores([text])[0].argmax())]


async def _questions(texts: Iterable[str], categories: Sequence[Category] = TAXONOMY.leaves) -> AsyncIterator[Question]:
    for text in texts:
        yield Question(text=text, categories=tuple(categories))


async def _answers(backend: LexicalBackend, questions: AsyncIterator[Question]) -> list[Prediction]:
    return [prediction async for prediction in backend.predict(questions, online=False)]


def _values(prediction: Prediction) -> Floats:
    assert isinstance(prediction.answer, Scores)
    return prediction.answer.values


def test_is_a_backend() -> None:
    """It keeps the protocol."""
    backend: Backend = UNTRAINED
    assert isinstance(backend, Backend)
    assert backend.name == "lexical"


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("why does my refund not show up", "Refund_not_showing_up"),
        ("refunds still not showing", "Refund_not_showing_up"),
        ("我的退款为什么还没到", "Refund_not_showing_up"),
        ("a card payment was reverted", "reverted_card_payment?"),
        ("付款被退回来了", "reverted_card_payment?"),
        ("did I get any cash back", "cashBack"),
        ("CASHBACK", "cashBack"),
        ("返现规则", "cashBack"),
        ("track my parcels", "parcel"),
        ("我的包裹呢", "parcel"),
    ],
)
def test_names_are_enough(text: str, category: str) -> None:
    """Without an example, ids, names and descriptions of both languages lead to the category."""
    assert _best(UNTRAINED, text) == category


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("visa charge undone by the shop", "reverted_card_payment?"),
        ("the money for my shoes", "Refund_not_showing_up"),
        ("no courier today", "parcel"),
        ("撤销的付款", "reverted_card_payment?"),
        ("hello", "other"),
    ],
)
def test_learns_from_examples(text: str, category: str) -> None:
    """Words that stand in no name lead to the category whose examples hold them."""
    assert _best(TRAINED, text) == category


def test_examples_of_the_taxonomy_are_learnt_from() -> None:
    """Examples written in the taxonomy count like labelled ones."""
    taxonomy = Taxonomy(categories=(Category(id="a", examples=("zebra",)), Category(id="b", examples=("giraffe",))))
    assert LexicalBackend(taxonomy).log_scores(["zebras", "giraffes"]).argmax(axis=1).tolist() == [0, 1]


def test_categories_without_examples_stay_reachable() -> None:
    """Where all other categories have many examples, the name of the one without still leads to it."""
    many = [Example(text=f"{e.text} {n}", category=e.category) for e in EXAMPLES if e.category != "cashBack" for n in range(20)]
    backend = LexicalBackend(TAXONOMY, many)
    assert _best(backend, "what about cash back") == "cashBack"
    assert _best(backend, "购物返现") == "cashBack"
    assert _best(backend, "the courier never came") == "parcel"
    assert _best(backend, "hello world, cash") == "cashBack"
    assert _best(backend, "hello world") == "other"


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Refund_not_showing_up", "refund not showing up"),
        ("reverted_card_payment?", "Reverted card-payment"),
        ("cashBack", "cash back"),
        ("退款/refund", "退款 refund"),
        ("ＡＢＣ", "abc"),
    ],
)
def test_labels_are_read_as_words(label: str, text: str) -> None:
    """Underscores, punctuation, camel case and full-width letters make no difference."""
    backend = LexicalBackend(Taxonomy.from_labels([label, "x"]), [Example(text="x", category="x")])
    np.testing.assert_array_equal(*backend.log_scores([label, text]))
    assert backend.log_scores([text])[0].argmax() == 0


def test_ancestors_tell_leaves_apart() -> None:
    """The name of the node above belongs to a leaf's text."""
    tops = tuple(Category(id=f"t{i}", name=name, children=(Category(id=f"x{i}"),)) for i, name in enumerate(("Loans", "Cards")))
    assert LexicalBackend(Taxonomy(categories=tops)).log_scores(["a card"])[0].argmax() == 1


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=40), max_size=4))
@pytest.mark.parametrize("backend", [UNTRAINED, TRAINED], ids=["names", "examples"])
def test_rows_are_distributions(backend: LexicalBackend, texts: list[str]) -> None:
    """Whatever the text, also none and broken ones, a row is finite and its probabilities sum to one."""
    rows = backend.log_scores([*texts, "", "🙂", "\ud800"])
    assert rows.shape == (len(texts) + 3, len(IDS))
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1)


def test_no_text_no_row() -> None:
    """No text gives no row, but as many columns."""
    assert TRAINED.log_scores([]).shape == (0, len(IDS))


@pytest.mark.parametrize("backend", [UNTRAINED, TRAINED], ids=["names", "examples"])
def test_without_known_words_nothing_is_preferred(backend: LexicalBackend) -> None:
    """A text that shares nothing with any category or example is uniform."""
    np.testing.assert_allclose(np.exp(backend.log_scores(["", "ψξ"])), 1 / len(IDS))


@given(noise=st.integers(1, 30))
def test_unknown_words_make_less_sure(noise: int) -> None:
    """The more of a text is unknown, the flatter its distribution; the order of the categories stays."""
    clear, less, least = TRAINED.log_scores(["my parcel", "my parcel " + "ψξ" * noise, "my parcel " + "ψξ" * (noise + 1)])
    assert clear.max() > less.max() > least.max()
    assert clear.argsort().tolist() == least.argsort().tolist()


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(EXAMPLES), copies=st.integers(1, 3))
def test_order_and_copies_of_examples_do_not_matter(order: list[Example], copies: int) -> None:
    """The same set of examples gives the same scores and fingerprint to the last bit."""
    other = LexicalBackend(TAXONOMY, order * copies)
    texts = [example.text for example in EXAMPLES]
    assert other.fingerprint() == TRAINED.fingerprint()
    np.testing.assert_array_equal(other.log_scores(texts), TRAINED.log_scores(texts))


@pytest.mark.slow
@given(st.permutations(range(len(IDS))))
def test_columns_follow_the_leaves(order: list[int]) -> None:
    """Reordering the leaves reorders the columns and changes nothing else."""
    leaves = [Category(id=f"{leaf.id} {leaf.label('zh')}") for leaf in TAXONOMY.leaves]
    texts = ["my refund", "包裹", "cash back of the card"]
    plain = LexicalBackend(Taxonomy(categories=tuple(leaves))).log_scores(texts)
    moved = LexicalBackend(Taxonomy(categories=tuple(leaves[i] for i in order))).log_scores(texts)
    np.testing.assert_allclose(moved, plain[:, order], atol=1e-5)


def test_batches_do_not_change_scores() -> None:
    """A text scores the same alone and among others."""
    texts = [example.text for example in EXAMPLES]
    together = TRAINED.log_scores(texts)
    np.testing.assert_allclose(np.concatenate([TRAINED.log_scores([text]) for text in texts]), together, atol=1e-6)


@pytest.mark.parametrize("leaves", [1, 2], ids=["one", "two"])
def test_few_categories(leaves: int) -> None:
    """One category is certain; of two, each is found by its examples."""
    taxonomy = Taxonomy.from_labels(IDS[:leaves])
    backend = LexicalBackend(taxonomy, [example for example in EXAMPLES if example.category in IDS[:leaves]])
    for k, category in enumerate(IDS[:leaves]):
        assert (backend.log_scores(LABELLED[category]).argmax(axis=1) == k).all()


def test_an_example_of_an_unknown_category_is_refused() -> None:
    """The error names the category and the nearest leaf; a node with children is no leaf."""
    with pytest.raises(UnknownNameError, match="parcel"):
        LexicalBackend(TAXONOMY, [Example(text="secret", category="parcels")])
    with pytest.raises(UnknownNameError, match="money"):
        LexicalBackend(TAXONOMY, [Example(text="secret", category="money")])


def test_fingerprint_names_what_scores_depend_on() -> None:
    """Other examples, another fingerprint; no text is in it."""
    assert TRAINED.fingerprint()["method"] == METHOD
    assert TRAINED.fingerprint() != UNTRAINED.fingerprint()
    assert "shoes" not in str(TRAINED.fingerprint())


async def test_predictions_come_in_order() -> None:
    """Each question is answered once, in its turn, with a share of the time and no tokens."""
    texts = [example.text for example in EXAMPLES]
    answers = await _answers(LexicalBackend(TAXONOMY, EXAMPLES, batch_size=4), _questions(texts))
    np.testing.assert_allclose([_values(answer) for answer in answers], TRAINED.log_scores(texts), atol=1e-6)
    assert {(a.source, a.model, a.usage.prompt_tokens, a.usage.output_tokens) for a in answers} == {("lexical", METHOD, 0, 0)}
    assert all(answer.seconds > 0 for answer in answers)


@pytest.mark.slow
@given(chosen=st.lists(st.sampled_from(range(len(IDS))), min_size=1, unique=True))
def test_a_subset_is_renormalised(chosen: list[int]) -> None:
    """Asked about some leaves in any order, it gives their columns in that order, summing to one."""
    questions = _questions(["my card payment"], [TAXONOMY.leaves[i] for i in chosen])
    values = _values(asyncio.run(_answers(TRAINED, questions))[0])
    full = TRAINED.log_scores(["my card payment"])[0, chosen]
    np.testing.assert_allclose(values, full - np.log(np.exp(full).sum()), atol=1e-9)


async def test_a_question_about_an_unknown_category_is_refused() -> None:
    """A category that is no leaf of the taxonomy is the caller's mistake, and raised."""
    with pytest.raises(UnknownNameError, match="refunds"):
        await _answers(UNTRAINED, _questions(["x"], [Category(id="refunds")]))


async def test_answers_before_the_source_goes_on() -> None:
    """A source that waits for each answer before the next question is served."""
    answered = asyncio.Semaphore(1)

    async def one_by_one() -> AsyncIterator[Question]:
        for text in ("a", "b", "c"):
            await answered.acquire()
            yield Question(text=text, categories=TAXONOMY.leaves)

    async with asyncio.timeout(10):
        count = 0
        async for _ in UNTRAINED.predict(one_by_one(), online=True):
            count += 1
            answered.release()
    assert count == 3


async def test_the_loop_is_not_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting and scoring happen in another thread."""
    threads = []
    fit = lexical._fit

    def watched(*args: object) -> object:
        threads.append(threading.current_thread())
        return fit(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(lexical, "_fit", watched)
    await _answers(LexicalBackend(TAXONOMY), _questions(["x", "y"]))
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


class TestCache:
    """Fitted models on disk."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Where the cache is."""
        return tmp_path / "deep" / "cache"

    def _scores(self, folder: Path | None, examples: Sequence[Example] = EXAMPLES) -> Floats:
        return LexicalBackend(TAXONOMY, examples, cache_dir=folder).log_scores([example.text for example in EXAMPLES])

    def test_gives_back_what_was_fitted(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second backend with the same content fits nothing and scores the same."""
        fitted = self._scores(folder)
        monkeypatch.setattr(lexical, "_fit", None)
        np.testing.assert_array_equal(self._scores(folder), fitted)

    def test_is_private(self, folder: Path) -> None:
        """Only the owner can enter the folder, and no text stands in the file."""
        self._scores(folder)
        (file,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"shoes" not in file.read_bytes()

    def test_goes_by_content(self, folder: Path) -> None:
        """Other examples are fitted anew."""
        self._scores(folder)
        self._scores(folder, EXAMPLES[:-1])
        assert len(list(folder.iterdir())) == 2

    def test_is_not_used_where_nothing_is_learnt(self, folder: Path) -> None:
        """Comparing texts needs no fit, so no file is written."""
        self._scores(folder, ())
        assert not folder.exists()

    @pytest.mark.parametrize("damage", ["empty", "short", "text", "foreign", "array", "misfit"])
    def test_mends_a_bad_file(self, folder: Path, damage: str) -> None:
        """A file that is damaged or another's is fitted again and replaced."""
        expected = self._scores(folder)
        (file,) = folder.iterdir()
        good = file.read_bytes()
        _damage(file, damage)
        np.testing.assert_array_equal(self._scores(folder), expected)
        assert len(file.read_bytes()) == len(good)
        assert list(folder.iterdir()) == [file]

    def test_a_pickle_is_never_read(self, folder: Path, tmp_path: Path) -> None:
        """A file that holds a pickle runs nothing."""
        expected = self._scores(folder)
        (file,) = folder.iterdir()
        stored = dict(np.load(file))
        with file.open("wb") as out:
            np.savez(out, **{**stored, "sharpness": np.array([_Trap(tmp_path / "sprung")], dtype=object)})
        np.testing.assert_array_equal(self._scores(folder), expected)
        assert not (tmp_path / "sprung").exists()

    def test_without_a_writable_folder_it_works(self, tmp_path: Path) -> None:
        """A folder that cannot be made costs the cache, not the answer."""
        (tmp_path / "file").touch()
        np.testing.assert_array_equal(self._scores(tmp_path / "file" / "cache"), self._scores(None))

    def test_is_bounded(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the files used last are kept."""
        monkeypatch.setattr(lexical, "_CACHED_FILES", 2)
        for n in (1, 2, 3):
            self._scores(folder, EXAMPLES[:n])
        assert len(list(folder.iterdir())) == 2

    def test_default_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The variable of this library wins over the desktop's, which wins over the home folder."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path / "own"))
        assert default_cache_dir() == tmp_path / "own"
        monkeypatch.delenv("LLMTRIAGE_CACHE_DIR")
        assert default_cache_dir() == tmp_path / "xdg" / "llmtriage"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert default_cache_dir() == tmp_path / ".cache" / "llmtriage"


class _Trap:
    """Makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def _damage(file: Path, how: str) -> None:
    good = file.read_bytes()
    stored = dict(np.load(file))
    if how == "foreign":
        stored["about"] = np.array('{"key": "another"}')
    if how == "misfit":
        stored["coef"] = stored["coef"][:, 1:]
    with file.open("wb") as out:
        if how in ("foreign", "misfit"):
            np.savez(out, **stored)
        elif how == "array":
            np.save(out, np.zeros(3))
        else:
            out.write({"empty": b"", "short": good[: len(good) // 2], "text": b"not a model"}[how])
