"""`llmtriage taxonomy show|lint|diff|from-csv`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import plain, show_json
from llmtriage.cli.making import make_taxonomy
from llmtriage.cli.options import column_options, file_argument, json_option, language_option, overwrite_option, quiet_option
from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llmtriage.taxonomy import Category, Taxonomy
    from llmtriage.tickets import TicketFile

_MARKS = {"en": (" (always review)", " (none of these)"), "zh": ("（一律人工）", "（以上都不是）")}

taxonomy_argument = click.argument("file", required=False, type=click.Path(path_type=Path))


@click.group(invoke_without_command=True)
@click.pass_context
def taxonomy(ctx: click.Context) -> None:
    """Show, check, compare or make a taxonomy. Without FILE: ./taxonomy.yaml, else the sample."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@taxonomy.command()
@taxonomy_argument
@click.option("--yaml", "as_yaml", is_flag=True, help="As YAML, to begin a taxonomy of your own with.")
@language_option
@json_option
@quiet_option
def show(file: Path | None, language: str, *, as_yaml: bool, as_json: bool, quiet: bool) -> None:
    """Show the tree."""
    tree = make_taxonomy(file, quiet=quiet, language=language)
    if as_yaml:
        click.echo(tree.to_yaml(), nl=False)
    elif as_json:
        show_json({**tree.model_dump(mode="json", exclude_defaults=True), "hash": tree.hash})
    else:
        for line in _lines(tree, language):
            click.echo(line)


@taxonomy.command()
@taxonomy_argument
@json_option
@quiet_option
def lint(file: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Check whether the categories exclude each other and leave no ticket out; exit code 1 on errors."""
    from llmtriage.lint import RULES
    from llmtriage.lint import lint as check

    tree = make_taxonomy(file, quiet=quiet)
    path = file or Path("taxonomy.yaml")
    lines = _places(path) if path.exists() else {}
    findings = check(tree)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        fields = [(finding, RULES[finding.code]) for finding in findings]
        show_json(
            [
                {
                    "code": finding.code,
                    "severity": finding.severity,
                    "line": _line(finding.categories, lines),
                    "categories": list(finding.categories),
                    "detail": finding.detail,
                    "reason": rule.reason,
                    "remedy": rule.remedy,
                }
                for finding, rule in fields
            ]
        )
    else:
        for finding in findings:
            click.echo(plain(f"{path}:{_line(finding.categories, lines) or 1}: {finding}"))
        if not quiet:
            click.echo(f"{len(tree.leaves)} categories: {errors} errors, {len(findings) - errors} warnings", err=True)
    return 1 if errors else 0


@taxonomy.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@language_option
@json_option
@quiet_option
def diff(old: Path, new: Path, language: str, *, as_json: bool, quiet: bool) -> int:
    """Say what became of each category of OLD in NEW, and of the labels; exit code 1 if one waits for a person."""
    from llmtriage.cli import changes
    from llmtriage.taxonomy import Taxonomy
    from llmtriage.taxonomy_diff import diff as compare

    found = compare(Taxonomy.load(old), Taxonomy.load(new))
    if as_json:
        show_json(changes.as_json(found))
    else:
        for line in changes.lines(found, language):
            click.echo(line)
        if not quiet:
            click.echo(changes.summary(found, language), err=True)
    return 1 if found.waiting or found.turned else 0


@taxonomy.command("from-csv")
@file_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the taxonomy goes [standard output].")
@click.option("--none-label", help='The label that means "none of these".')
@column_options
@overwrite_option
@quiet_option
def from_csv(file: Path, out: Path | None, none_label: str | None, *, overwrite: bool, quiet: bool, **flags: Any) -> None:
    """Make a flat taxonomy of the labels of a labelled FILE; they stay as they are."""
    from llmtriage.runner import refuse_overlap
    from llmtriage.taxonomy import Taxonomy

    refuse_overlap([out] if out else [], [file])
    labels = [row.category for row in _labels_alone(file, flags).labelled()]
    if not labels:
        raise InputError("no row has a label", file=file, remedy="name the column with --category-column")
    tree = Taxonomy.from_labels(labels, none_label=none_label)
    text = tree.to_yaml()
    if out is None:
        click.echo(text, nl=False)
        return
    if out.exists() and out.stat().st_size and not overwrite:
        raise InputError("the file exists", file=out, remedy="give another name or --overwrite")
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=out, remedy="check the folder") from None
    if not quiet:
        click.echo(f"{len(tree.leaves)} categories from {len(labels)} tickets: {plain(out)}", err=True)


def _labels_alone(file: Path, flags: dict[str, Any]) -> TicketFile:
    """A file of which only the column of labels is used; the first column stands for the text that it may not have."""
    from llmtriage.tables import read_rows
    from llmtriage.tickets import Columns, TicketFile

    table = read_rows(file, encoding=flags["encoding"])
    return TicketFile(table, Columns(category=flags["category_column"] or Columns().category, text=table.columns[0]))


def _lines(tree: Taxonomy, language: str) -> Iterator[str]:
    from llmtriage.taxonomy import in_language

    if tree.name:
        yield plain(in_language(tree.name, language))
    for index, top in enumerate(tree.categories, 1):
        yield from _branch(tree, top, language, "", last=index == len(tree.categories))
    for line in tree.precedence:
        yield "  * " + plain(in_language(line, language))


def _branch(tree: Taxonomy, node: Category, language: str, indent: str, *, last: bool) -> Iterator[str]:
    from llmtriage.taxonomy import in_language

    name = f" [{node.label(language)}]" if node.name else ""
    team = f" -> {tree.team(node.id)}" if not node.children and tree.team(node.id) else ""
    held = zip(_MARKS[language], (node.always_review, node.catch_all), strict=True)
    marks = "".join(mark for mark, holds in held if holds)
    about = f": {in_language(node.description, language)}" if node.description else ""
    yield indent + ("└─ " if last else "├─ ") + plain(f"{node.id}{name}{team}{marks}{about}")
    for index, child in enumerate(node.children, 1):
        yield from _branch(tree, child, language, indent + ("   " if last else "│  "), last=index == len(node.children))


def _places(path: Path) -> Mapping[str, int]:
    """The line of each id in the file."""
    from llmtriage.yaml_file import YamlFile

    return YamlFile(path).ids()


def _line(categories: tuple[str, ...], lines: Mapping[str, int]) -> int | None:
    return lines.get(categories[-1]) if categories else None
