"""Which categories stand on the screen: the tree, or what a few typed letters find."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from llmtriage.taxonomy import all_languages

if TYPE_CHECKING:
    from llmtriage.taxonomy import Category, Taxonomy

DIGITS = 9
_CHINESE = re.compile("[\u4e00-\u9fff]")


def menu(taxonomy: Taxonomy, group: str | None) -> tuple[Category, ...]:
    """All leaves where each has a digit of its own; else the tree, one level at a time: what stands below `group`, or at the top."""
    if len(taxonomy.leaves) <= DIGITS:
        return taxonomy.leaves
    return taxonomy.categories if group is None else taxonomy[group].children


def found(taxonomy: Taxonomy, typed: str) -> tuple[Category, ...]:
    """The leaves that hold all typed words in an id (also a former one), a name or the path; best ones first, all for nothing typed.

    A Chinese name is also found by how it sounds: 退款 by tuikuan, tui or tk.
    """
    words = normal(typed).split()
    ranked = [(_rank(taxonomy, leaf, words), leaf) for leaf in taxonomy.leaves]
    hits = [(rank, leaf) for rank, leaf in ranked if rank is not None]
    return tuple(leaf for _, leaf in sorted(hits, key=lambda hit: hit[0]))


def normal(text: str) -> str:
    """`text` for comparing: full-width letters as narrow ones, in one case."""
    return unicodedata.normalize("NFKC", text).casefold()


def _rank(taxonomy: Taxonomy, leaf: Category, words: list[str]) -> int | None:
    """How well a leaf fits, 0 best; None where a word is not in it."""
    own = _names(leaf)
    above = [name for node in taxonomy.path(leaf.id)[:-1] for name in _names(node)]
    ranks = [_rank_of(word, own, above) for word in words]
    return None if None in ranks else max((rank for rank in ranks if rank is not None), default=0)


def _rank_of(word: str, own: list[str], above: list[str]) -> int | None:
    tests = (
        any(name.startswith(word) for name in own),
        any(part.startswith(word) for name in own for part in _parts(name)),
        any(_initials(name).startswith(word) for name in own),
        any(sound.startswith(word) for name in own for sound in _sounds(name)),
        any(word in name for name in own),
        any(word in name for name in above),
        any(sound.startswith(word) for name in above for sound in _sounds(name)),
    )
    return next((rank for rank, holds in enumerate(tests) if holds), None)


def _names(node: Category) -> list[str]:
    return [normal(text) for text in (node.id, *node.was, *(all_languages(node.name) if node.name else ()))]


def _parts(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name)


def _initials(name: str) -> str:
    return "".join(part[0] for part in _parts(name))


@lru_cache(maxsize=4096)
def _sounds(name: str) -> tuple[str, ...]:
    """How a name with Chinese characters is typed by sound: from each of its syllables on, in full and by initials."""
    if not _CHINESE.search(name):
        return ()
    from pypinyin import lazy_pinyin

    syllables = _parts(" ".join(lazy_pinyin(name)))
    rests = [syllables[start:] for start in range(len(syllables))]
    return tuple("".join(rest) for rest in rests) + tuple("".join(one[0] for one in rest) for rest in rests)
