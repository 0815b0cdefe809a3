"""Writes docs/cli.md from the command line itself: python docs/make_cli_page.py. A test says when the page is old."""

from __future__ import annotations

from pathlib import Path

import click

from llmtriage.cli.commands import llmtriage

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# Command line

Written by `make docs`. Every flag has an environment variable and a key in `llmtriage.toml`: see [settings.md](settings.md).

| exit code | meaning |
|---|---|
| 0 | done; tickets may be pending; `serve`: told to stop (SIGTERM), all that was under way is answered |
| 1 | findings: lint errors, `--fail-under` or `--fail-over` missed, labels that `taxonomy diff` cannot carry; no promise, or a broken one |
| 2 | wrong usage, or a file that cannot be used |
| 3 | a calibration was made under something else than it is used under |
| 4 | the engine cannot work: no connection, wrong key, unknown model |
| 5 | stopped early, can be resumed: budget or quota spent, the server stayed away, the store full, held by another program or gone |
| 70 | a fault of llmtriage itself; `--debug` shows the traceback |
| 130 | interrupted, `serve` too (Ctrl-C) |

An error is one line on stderr. A run that stops early leaves an output that is an exact beginning of the full one; its last line
says how many tickets are decided, and `--resume` goes on behind it.

`--title-column` and the other flags of columns name columns of FILE. They hold for the file of `--examples` too where it has a column
of that name, else its columns have the default names. `--encoding` holds for both; examples in UTF-8 may stand beside another FILE.

## What classify writes

One row a ticket, in the order of the input. In JSONL `reasons` and `candidates` are lists, and what does not exist is null; in CSV
they are joined with spaces, and what does not exist is empty.

| column | what |
|---|---|
| id | the ticket's own, else the number of its row |
| outcome | `accepted` or `pending` |
| category | where it was accepted: a category, with `--departments` perhaps a department |
| team | who gets it; empty if the taxonomy names nobody, or if the ticket waits |
| confidence | the calibrated probability that the category is right; empty until calibrated |
| score | the number the engine gave, from 0 to 1; it is not a probability |
| reasons | codes that say why it waits |
| why | the same in sentences, in the language of `--language` |
| suggestion | what the engine would say about a ticket that waits |
| candidates | up to five categories with their scores, best first; in CSV `refund=0.81 parcel=0.07` |
| run | fingerprint of engine, taxonomy, examples and settings: the same here, the same outcomes |
| title | as received |
| content | as received |

In CSV, text that a spreadsheet would run as a formula begins with an apostrophe.

## What evaluate measures

These are the names for `--fail-under accuracy=0.9`, which takes figures where higher is better, and for
`--fail-over accepted.error=0.05`, which takes those where lower is better. A figure that does not exist is null and misses every limit.

| figure | better | what |
|---|---|---|
| n | | tickets in the file |
| accuracy | higher | share of tickets whose first category is right, whatever was accepted |
| balanced_accuracy | higher | mean of the recall of each category |
| macro_f1 | higher | mean of the F1 of each category, rare or not |
| weighted_f1 | higher | the same, each category as often as it has tickets |
| unanswered | lower | tickets without an answer; they count as wrong |
| accepted.n | higher | tickets that go to a team by themselves |
| accepted.share | higher | their share of all tickets |
| accepted.errors | lower | how many of them are wrong |
| accepted.error | lower | accepted.errors / accepted.n; null if none is accepted |
| pending.n | lower | tickets that wait for a person |
| pending.share | lower | their share of all tickets |
| pending.n_candidates | higher | those for which candidates are shown |
| pending.candidates_mean | | how many these are |
| pending.candidates_hold | higher | the share of these tickets whose true category is among them |
| pending.reasons.CODE | lower | how many wait for this reason, such as `pending.reasons.timeout` |
| outside.n | higher | tickets that belong to no category: of the catch-all, or with `--none-label` |
| outside.accepted | lower | how many of them are accepted as a real category |
| outside.share | lower | outside.accepted / outside.n |
| outside.auroc.SIGNAL | higher | how well a number tells them from the others: `confidence`, `catch_all` or `label_mass` |
| outside.caught.SIGNAL | higher | the share of them that it finds where it flags one in twenty of the others |
| n_scored | higher | tickets with a score for every category, as log_loss and brier need |
| log_loss | lower | mean of -ln of the probability given to the true category |
| log_loss_clipped | lower | tickets whose true category was given next to nothing |
| brier | lower | mean squared distance of the probabilities from the truth, 0 to 2 |
| n_confidence | higher | tickets with a number for the first category, which all figures down to augrc are about |
| ece | lower | expected calibration error: mean distance between that number and the share that is right, over 15 bins of equal mass |
| ece_limit | | what ece stays below in 95 of 100 such files if the numbers are perfect |
| ece_p | | share of such files in which it is as large as here |
| ece_width | lower | the same error over 15 bins of equal width |
| ece_debiased | lower | ece less an estimate of what chance adds; may be negative |
| rmsce2_debiased | lower | the same of the squared error |
| smooth_ece | lower | calibration error without bins |
| top_brier | lower | mean squared distance of the number from 1 (right) or 0 (wrong) |
| top_log_loss | lower | log loss of the number |
| mcb | lower | miscalibration: the part of top_brier that the best rising map of the number would win |
| dsc | | discrimination: what the number so mapped wins over one number for all; top_brier = mcb - dsc + unc |
| unc | | uncertainty: share right times share wrong |
| murphy.reliability | lower | mean squared distance of number and share right over the bins of ece |
| murphy.resolution | | mean squared distance of the bins' share right from that of all |
| murphy.uncertainty | | the same as unc |
| murphy.rest | | what is left: top_brier = reliability - resolution + uncertainty + rest |
| auroc | higher | how well the number tells right from wrong; 0.5 is chance |
| aurc | lower | mean error over all shares of tickets that could be accepted |
| e_aurc | lower | aurc less that of the best order of the same answers |
| augrc | lower | chance that a ticket is accepted and wrong, over all shares that could be accepted |
| label_mass | | mean probability that the engine put on the categories together, before they are made to sum to 1 |
| cost.per_1000 | lower | cost of 1,000 such tickets: `--error-cost` for each accepted error, `--review-cost` for each that waits |
| business.handled | higher | share of tickets handled without a person |
| business.minutes_saved_per_1000 | higher | minutes of work that 1,000 tickets save, with `--minutes-manual`; see [evaluation.md](evaluation.md) |
| business.error_cost_per_1000 | lower | what the accepted errors among 1,000 tickets cost, with `--error-cost` |
| business.net_per_1000 | higher | the minutes at `--wage-per-hour`, less that cost |
| baselines.majority | higher | share right of always the largest category of the examples |
| baselines.linear_svm | higher | share right of a linear SVM on TF-IDF that learns from the same examples |
| baselines.majority_of_evaluated | higher | share right of always the largest category of this very file |
| usage.prompt_tokens | lower | tokens sent; null if the server does not tell |
| usage.output_tokens | lower | tokens received |
| usage.attempts | lower | requests |
| usage.untold | lower | answers without a count of tokens |
| seconds | lower | time of the run |
| tickets_per_second | higher | speed |

`evaluate --json` holds these and, each null where it does not exist:

| key | what |
|---|---|
| accuracy_interval | 95 %, Wilson |
| macro_f1_interval, cost.per_1000_interval | 95 %, bootstrap; null below 30 tickets |
| accepted.error_interval | 95 %, Clopper-Pearson |
| ece_verdict | `agrees` up to ece_limit; above it `too_sure` or `too_cautious`, as mean number and share right compare |
| coverage_at_risk | for `risk` 0.01, 0.02, 0.05, 0.1: the largest `coverage` that keeps it on these very tickets, and its `threshold`: no promise |
| categories_without_tickets | categories that no ticket of the file belongs to |
| sources | how many answers were read in which way |
| cost | also `by_hand` (1,000 reviews), `cheapest_threshold` (if confidences are true), `error_cost`, `review_cost` |
| business | also `handled_interval` (Wilson), `minutes_saved_interval` (bootstrap), `error_cost_interval` (Clopper-Pearson), and what was taken |
| slices | for each `--by`: `by`, `against`, `limit`, `tests`, and `groups` of tickets with their figures; see [evaluation.md](evaluation.md) |
| per_category | `category`, `n`, `precision`, `recall`, `f1`, `precision_interval`, `recall_interval` (95 %, Wilson), `accepted`, `accepted_error` |
| confusions | `gold`, `predicted`, `n` of the 20 most frequent |
| backend, taxonomy_hash, prompt_hash | what was evaluated; `run` as in the column of that name |
| reviews | with `--store`: whose answers these are, what is told of them, and `warning`; see [evaluation.md](evaluation.md) |
| settings | threshold, departments, shots, seed, number of examples, name of the file |

`evaluate --predictions FILE` takes predictions from a file instead, `evaluate --store` what a run decided and people answered.
All of the above is the same: [evaluation.md](evaluation.md).

`evaluate --against KEY=VALUE[,KEY=VALUE]` runs the same tickets again with these flags changed and shows both beside each other. `--json` then
holds `first` and `second` (each as above, with `setting`, `tokens_in` and `tokens_out` a ticket), `difference` (second minus first: `accuracy` with
its 95 % interval, Bonett and Price; `p` of the exact McNemar test, which decides `more_accurate`, and its `mid_p`; `log_loss` with its
interval, bootstrap; `lower_log_loss`; `share` and `cost` with theirs; null where the labels do not tell) and `labels` (file, n, digest of title,
content and category of all rows). Labels that chose between settings are used up: calibrate, certify and report on others.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(
        _section(
            llmtriage,
            click.Context(
                llmtriage,
                info_name="llmtriage",
                max_content_width=100,
                terminal_width=100,
                help_option_names=llmtriage.context_settings["help_option_names"],
            ),
        )
    )


def _section(command: click.Command, context: click.Context) -> list[str]:
    lines = [f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                below = click.Context(child, info_name=name, parent=context, max_content_width=100, terminal_width=100)
                lines += _section(child, below)
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
