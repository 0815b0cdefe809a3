"""`llmtriage check`: does a calibration still hold here?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import show_json
from llmtriage.cli.options import json_option, make_triage, quiet_option, triage_options
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from llmtriage.settings import Settings

_FITS = {
    "en": "it fits: taxonomy, prompt, model, examples, preparation and policy are those it was made with",
    "zh": "适用：分类体系、提示词、模型、示例、预处理和策略与制作时一致",
}


@click.command(short_help="Does a calibration still hold here?")
@triage_options
@json_option
@quiet_option
@click.pass_obj
def check(settings: Settings, /, *, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Say what --calibration promises, and whether taxonomy, prompt, model, examples, preparation and policy are those it was made with."""
    if flags["calibration"] is None:
        raise InputError("which calibration?", field="--calibration", remedy="name the file that llmtriage calibrate wrote")
    language = flags["language"]
    triage = make_triage(flags, settings, quiet=quiet)
    triage.settle()
    calibration = triage.calibration
    assert calibration is not None  # noqa: S101 - it was named
    if as_json:
        show_json({"fits": True, **calibration.model_dump(mode="json", exclude={"calibrator"})})
        return 0
    click.echo(calibration.words)
    click.echo(f"{calibration.made}  {calibration.labels.certified} / {calibration.labels.n}  {calibration.labels.file}")
    click.echo(_FITS[language])
    return 0
