"""The command `doctor`. What it does is heavy; a wrong option is said before."""

import click

from sam_backend import settings
from sam_backend.doctor.finding import Finding, Verdict

_COLORS = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAILED: "red"}


@click.command()
@click.option("--project", type=int, metavar="ID", help="Look at this project; else at any that the token sees.")
@click.pass_context
def doctor(context: click.Context, project: int | None) -> None:
    """Look at everything that an answer to a click needs, and say what to do about what is wrong.

    It reads the settings that `serve` reads, needs no running backend, and changes nothing in Label Studio. The exit
    code is 1 where something keeps masks from annotators, else 0.

    \b
    sam-backend doctor
    LABEL_STUDIO_URL=... LABEL_STUDIO_API_KEY=... sam-backend doctor --project 3
    """  # noqa: D301 (click reads this escape)
    chosen = settings.load()
    # What follows is heavy, and a wrong setting is said at once.
    from sam_backend.doctor import machine, studio

    worst = 0
    for findings in (machine.examine(chosen), studio.examine(chosen, project)):
        for finding in findings:
            _say(finding)
            worst = max(worst, finding.verdict is Verdict.FAILED)
    context.exit(int(worst))


def _say(finding: Finding) -> None:
    mark = click.style(f"{finding.verdict.value:6}", fg=_COLORS[finding.verdict])
    click.echo(f"{mark} {finding.topic:12} {finding.text}")
    if finding.remedy:
        click.echo(f"{'':19} → {finding.remedy}")
