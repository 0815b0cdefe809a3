"""`llmtriage serve`: the HTTP service."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.making import make_triage, tell_what_waits
from llmtriage.cli.options import Number, quiet_option, store_option, together, triage_options
from llmtriage.errors import MissingExtraError
from llmtriage.service.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmtriage.cli.options import Command
    from llmtriage.settings import Settings
    from llmtriage.triage import Triage

_USUAL = {name: field.default for name, field in ServiceSettings.model_fields.items()}
_LIMITS = {
    "in_flight": "Requests worked on at a time; more are told to come again.",
    "arriving": "Requests whose body is still on its way, at a time.",
    "per_minute": "Requests a minute of one caller.",
    "form_bytes": "The longest form of a page.",
    "body_bytes": "The longest other request.",
    "batch_bytes": "The longest batch.",
    "bodies_bytes": "All bodies together that arrive or are worked on.",
    "body_seconds": "How long a body may be on its way.",
}


def _limit(name: str) -> Callable[[Command], Command]:
    kind = Number(min=0, min_open=True) if isinstance(_USUAL[name], float) else click.IntRange(min=1)
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, type=kind, default=_USUAL[name], show_default=True, help=_LIMITS[name])


@click.command(short_help="The HTTP service: an API, and pages where people decide what waits.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens; beyond this machine only with a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Where it listens; 0: any free one.")
@store_option
@click.option("--source", default="", help="Where the tickets come from: ids of two sources are never the same ticket.")
@click.option(
    "--store-text",
    type=click.Choice(["original", "redacted", "none"]),
    default="original",
    show_default=True,
    help="What is stored of a ticket's text.",
)
@click.option("--probe", type=click.FloatRange(0, 1, min_open=True), help="The share of tickets that a person decides blind.")
@click.option("--second", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="The share of answers given twice.")
@click.option("--user-header", metavar="NAME", help="The header in which a reverse proxy names who has signed in [none is read].")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    default=_USUAL["trusted_proxies"],
    metavar="ADDRESS",
    help="From where that header is believed; may be repeated [this machine].",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name besides its own under which it is called; may be repeated.",
)
@together(*map(_limit, _LIMITS))
@triage_options
@quiet_option
@click.pass_context
def serve(context: click.Context, /, *, quiet: bool, **flags: Any) -> None:
    """Serve the API and the review pages until it is told to stop."""
    try:
        from llmtriage.service import running
    except ModuleNotFoundError:
        raise MissingExtraError.of("service", "the HTTP service") from None
    from llmtriage.store import SqlStore

    settings: Settings = context.obj
    own = {key: flags.pop(key) for key in _USUAL if key in flags and key != "language"}
    behaviour = ServiceSettings(**own, language=flags["language"], hooks=settings.hooks, callbacks=settings.callbacks)
    place, source, kept, probe = (flags.pop(key) for key in ("store", "source", "store_text", "probe"))

    def build() -> Triage:
        with context.scope(cleanup=False):  # the flags of this command, in the thread that builds
            return make_triage(dict(flags), settings, quiet=quiet, closes=False, store=store, probe=probe)

    def told(url: str, triage: Triage) -> None:
        decides = f"{triage.backend.name}, {len(triage.taxonomy.leaves)} categories, store {store.name}"
        click.echo(f"llmtriage serves {url} ({decides})", err=True)
        tell_what_waits(triage, quiet=quiet, language=flags["language"])

    with SqlStore(place, source=source, kept=kept, newest_waits=True, second=behaviour.second) as store:
        gc.freeze()
        running.serve(behaviour, store, build, tell=told)
