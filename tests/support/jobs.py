"""Jobs for the sides of a comparison, in a module that is imported in no time."""

from benchmarks.sides import Job


def doubling(factor: int) -> Job:
    """Multiplies what it is given."""
    return Job(lambda value: factor * value, lambda result: result)


def dividing() -> Job:
    """Breaks on a zero."""
    return Job(lambda value: 1 // value, lambda result: result)
