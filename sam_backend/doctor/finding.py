"""What a check found: one line, and what to do about it."""

from dataclasses import dataclass
from enum import Enum

from sam_backend.errors import SamBackendError


class Verdict(Enum):
    """How good it is."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        verdict: a note is something to know; what failed keeps masks from annotators.
        topic: what was looked at.
        text: what was found.
        remedy: what to do next; empty where all is well.
    """

    verdict: Verdict
    topic: str
    text: str
    remedy: str = ""


def ok(topic: str, text: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, topic, text)


def note(topic: str, text: str, remedy: str) -> Finding:
    """It works, but not as it could."""
    return Finding(Verdict.NOTE, topic, text, remedy)


def failed(topic: str, error: SamBackendError) -> Finding:
    """It does not work, in the error's own words."""
    return Finding(Verdict.FAILED, topic, error.message, error.remedy)
