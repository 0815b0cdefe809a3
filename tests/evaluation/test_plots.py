"""The plots as files."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from evaluation.paged import LONG, NAMES, Case, cases, usual
from matplotlib.backends.backend_agg import FigureCanvasAgg

from llmtriage.errors import InputError, MissingExtraError, UnknownNameError
from llmtriage.evaluation import plots

ALL = ["reliability", "risk_coverage", "confusions", "promise"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each of the odd ones."""
    return cases()[request.param]


def size_of_png(path: Path) -> tuple[int, int]:
    """In pixels, as its header says."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def texts(path: Path) -> list[str]:
    """The text of an SVG."""
    return [element.text or "" for element in ET.parse(path).iter(f"{SVG}text")]  # noqa: S314 - our own file


@pytest.mark.slow
def test_png_files_of_the_right_size(tmp_path: Path) -> None:
    """4.9 by 4.2 inches."""
    written = plots.save(usual().curves, tmp_path / "new" / "plots", dpi=100)
    assert [path.name for path in written] == [f"{name}.png" for name in ALL]
    assert size_of_png(tmp_path / "new" / "plots" / "reliability.png") == (490, 420)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "words"), [("en", "wrong among them"), ("zh", "其中的错误率")])
def test_svg_files_hold_their_text_as_text(tmp_path: Path, language: Any, words: str) -> None:
    """In either language."""
    written = plots.save(usual().curves, tmp_path, format="svg", language=language)
    assert [path.stem for path in written] == ALL
    assert words in texts(tmp_path / "risk_coverage.svg")


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    """No date, no chance."""
    for kind in ("png", "svg"):
        one, other = (plots.save(usual().curves, tmp_path / name, format=kind, dpi=50) for name in ("a", "b"))
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@pytest.mark.slow  # the tests of the page draw all of them too
def test_every_case_can_be_drawn(case: Case) -> None:
    """What there is nothing to show of is left out; no name is read as a formula."""
    drawn = plots.figures(case.curves)
    assert ("reliability" in drawn) == (case.report.n_confidence > 0)
    assert ("confusions" in drawn) == bool(case.report.confusions)
    assert len([name for name in drawn if plots.kind(name) == "promise"]) == len(case.curves.decisions)
    for name, figure in drawn.items():
        assert plots.as_svg(figure, salt=name)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["usual", "77 categories", "hostile"])
def test_nothing_is_cut_off(name: str, language: Any) -> None:
    """Text and legends lie within the figure."""
    for figure in plots.figures(cases()[name].curves, language=language, titled=False).values():
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        found = [*figure.legends, *(text for axes in figure.axes for text in axes.texts)]
        for artist in found:
            box = artist.get_window_extent(renderer)
            assert box.x0 >= -1
            assert box.x1 <= figure.bbox.x1 + 1


def test_long_names_are_shortened_and_dollars_stay(tmp_path: Path) -> None:
    """Both of a pair can be read."""
    plots.save(cases()["hostile"].curves, tmp_path, format="svg")
    found = texts(tmp_path / "confusions.svg")
    assert "物流查询 → $a$ & 'b'" in found
    assert not any(LONG in text for text in found)
    assert any(text.startswith("<script>x</script> → aaaa") and text.endswith("…") for text in found)


@pytest.mark.slow
def test_a_machine_without_chinese_fonts_is_told_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes in a picture are never silent; an SVG has the fonts of whoever looks at it."""
    monkeypatch.setattr(plots, "chinese_font", lambda: None)
    with pytest.warns(UserWarning, match="no installed font") as told:
        plots.save(usual().curves, tmp_path, language="zh", dpi=50)
    assert len({str(warning.message) for warning in told}) == len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(usual().curves, tmp_path, format="svg", language="zh")


@pytest.mark.slow
def test_a_chinese_font_draws_chinese(tmp_path: Path) -> None:
    """Without a warning, where there is one."""
    if plots.chinese_font() is None:
        pytest.skip("no font with Chinese characters here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(usual().curves, tmp_path, language="zh", dpi=50)


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    """A format, a language, a folder."""
    with pytest.raises(UnknownNameError, match="unknown format 'pdf'"):
        plots.save(usual().curves, tmp_path, format="pdf")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown language 'de'"):
        plots.save(usual().curves, tmp_path, language="de")  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        plots.save(usual().curves, tmp_path / "file")


def test_without_matplotlib_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'llmtriage\[plots\]'"):
        plots.save(usual().curves, tmp_path)
    assert not list(tmp_path.iterdir())


def test_matplotlib_is_not_loaded_before_it_is_used() -> None:
    """It takes half a second, and may not be there."""
    code = "import sys, llmtriage.evaluation, llmtriage.evaluation.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert importlib.metadata.version("matplotlib")
