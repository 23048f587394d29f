"""The command `warm`. What it does is in `warm`, which is heavy; a wrong option is said before."""

from typing import Any

import click

from sam_backend import settings


@click.command()
@click.option(
    "--project", type=int, metavar="ID", required=True, help="A project of LABEL_STUDIO_URL, with LABEL_STUDIO_API_KEY."
)
@click.option("--view", type=int, metavar="ID", help="The tasks of this view (tab) alone.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Processes that encode."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N tasks alone.")
@click.pass_context
def warm(context: click.Context, /, **options: Any) -> None:
    """Compute a project's embeddings before anyone opens its tasks.

    They go into SAM_CACHE_DIR, where a service with the same setting and the same model finds them: the first click on
    a task is then answered as fast as the second. An image whose embedding is there is not encoded again.

    \b
    LABEL_STUDIO_URL=... LABEL_STUDIO_API_KEY=... SAM_CACHE_DIR=cache \\
    sam-backend warm --project 3 --workers 2
    """  # noqa: D301 (click reads this escape)
    chosen = settings.load()
    # What follows is heavy, and a wrong option is said at once.
    from sam_backend.prelabel.warm import Request
    from sam_backend.prelabel.warm import warm as run

    given = {name: value for name, value in options.items() if value is not None}
    context.exit(run(Request(**given), chosen))
