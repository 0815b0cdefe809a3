"""The review screen on a real terminal: keys in, lines out. The only place that knows the library that does this."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.data_structures import Point
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

from llmtriage.errors import InputError
from llmtriage.review_screen.drawing import Screen, draw
from llmtriage.review_screen.state import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.key_binding.key_processor import KeyPress

    from llmtriage.review_screen.session import Session

_ESCAPE = 0.1  # seconds after which an escape is no longer the beginning of another key; a slow line may part them
_NAMES: dict[str, str] = {
    Keys.Enter: "enter",
    Keys.ControlJ: "enter",
    Keys.Escape: "escape",
    Keys.Up: "up",
    Keys.Down: "down",
    Keys.Left: "left",
    Keys.Backspace: "backspace",
    Keys.PageUp: "pageup",
    Keys.PageDown: "pagedown",
    Keys.Home: "home",
    Keys.End: "end",
    Keys.ControlU: "clear",
    Keys.ControlC: "quit",
    Keys.ControlD: "quit",
    Keys.SIGINT: "quit",
}


def make_sure_of_terminal() -> None:
    """Raises InputError where keys or screen are no terminal, or one that can only write line after line."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise InputError(
            "the review screen needs a terminal",
            remedy="use llmtriage review list, next, confirm and correct, or export and import",
        )


def show(session: Session) -> None:
    """Let a person work until the session has ended. The terminal is as it was before, whatever happened."""
    app: Application[None] = Application(
        layout=Layout(Window(_control(session), always_hide_cursor=False)),
        full_screen=True,
        enable_page_navigation_bindings=False,
    )
    app.key_bindings = _bindings(session, app)
    app.ttimeoutlen = app.timeoutlen = _ESCAPE
    asyncio.run(_run(app, session))


async def _run(app: Application[None], session: Session) -> None:
    with _told_of_the_end(asyncio.get_running_loop(), lambda: _leave(app)):
        try:
            with suppress(EOFError, OSError):  # the terminal is gone
                await app.run_async(set_exception_handler=False)
        finally:
            session.end("closed")  # as long as another signal does not end the program


@contextmanager
def _told_of_the_end(loop: asyncio.AbstractEventLoop, close: Callable[[], None]) -> Iterator[None]:
    """`close` is called where the terminal is closed or the program is told to end."""
    numbers = [getattr(signal, name) for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    with suppress(NotImplementedError):  # Windows
        for number in numbers:
            loop.add_signal_handler(number, close)
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _control(session: Session) -> FormattedTextControl:
    screen = Screen((), (0, 0))

    def text() -> StyleAndTextTuples:
        nonlocal screen
        size = get_app().output.get_size()
        session.resize(size.columns, size.rows)
        screen = draw(session.state)
        fragments: StyleAndTextTuples = []
        for line in screen.lines:
            fragments += [(line.style, line.text), ("", "\n")]
        return fragments[:-1]

    return FormattedTextControl(text, focusable=True, get_cursor_position=lambda: Point(*screen.cursor))


def _bindings(session: Session, app: Application[None]) -> KeyBindings:
    bindings = KeyBindings()

    def press(event: KeyPressEvent) -> None:
        key = _key(event.key_sequence[0])
        try:
            if key is not None:
                session.press(key)
        except Exception as error:  # noqa: BLE001 - whatever it is must leave the screen first
            app.exit(exception=error)
        else:
            if session.ended:
                _leave(app)

    for name in (*_NAMES, Keys.BracketedPaste, Keys.Any):
        bindings.add(name)(press)
    return bindings


def _key(pressed: KeyPress) -> Key | None:
    if pressed.key in _NAMES:
        return Key(_NAMES[pressed.key])
    if pressed.key == Keys.BracketedPaste:
        return Key("paste", pressed.data)
    return None if isinstance(pressed.key, Keys) else Key("text", pressed.data)


def _leave(app: Application[None]) -> None:
    if app.is_running and not app.is_done:
        app.exit()
