"""A row of a table: two sides, how long each took, and whether they say the same.

A ratio is peer ÷ ours in seconds, and only stands beside an agreement that reaches its limit.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

F32, BF16, INT8 = 0.999, 0.98, 0.95
MATCHED, GUIDED, EQUAL = 0.98, 0.95, 1.0


@dataclass(frozen=True)
class Aim:
    """What a row is held against: the ratio of a first try less the noise, and the ratio that is wanted."""

    floor: float
    goal: float


TABLE = {
    "encoder_bf16_vs_torch_f32": Aim(6, 8),
    "encoder_bf16_vs_torch_bf16": Aim(2.7, 3.2),
    "encoder_bf16_of_peak": Aim(0.68, 0.80),
    "encoder_int8_vs_bf16": Aim(1.2, 1.5),
    "decoder_click_vs_torch": Aim(3.3, 5),
    "decoder_64_vs_torch": Aim(7.5, 12),
    "rle_12mp_vs_sdk": Aim(15, 25),
    "request_click_1200x800": Aim(3, 5),
    "request_click_4000x3000": Aim(3, 5),
    "request_click_busy_task": Aim(0.5, 0.8),
    "everything_vs_official": Aim(8, 12),
    "everything_guided_vs_official": Aim(12, 25),
    "first_click_after_open": Aim(0.9, 1),
    "click_p95_under_encode": Aim(0.4, 0.7),
}


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: of the table, or of a row beside it.
        ours, peer: seconds; None where nothing was measured.
        agreement: how far both say the same, in [0, 1].
        limit: the least agreement at which a ratio is given.
        skipped: why nothing was measured.
        faults: what else the sides disagree in; each refuses the ratio.
        more: what else is worth knowing.
    """

    name: str
    ours: float | None = None
    peer: float | None = None
    agreement: float | None = None
    limit: float = F32
    skipped: str = ""
    faults: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> str:
        """Why there is no ratio though there are times; empty where there is one, or nothing was measured."""
        if self.skipped:
            return ""
        agrees = self.agreement is not None and self.agreement >= self.limit  # NaN never does
        found = "none" if self.agreement is None else f"{self.agreement:.5f}"
        unmeasured = self.ours is None and self.faults
        wanting = () if agrees or unmeasured else (f"agreement {found}, {self.limit:g} is asked for",)
        return "; ".join((*wanting, *self.faults))

    @property
    def ratio(self) -> float | None:
        """The peer's seconds ÷ ours, or None where they disagree or nothing was measured."""
        if self.skipped or self.refused or not self.ours or self.peer is None:
            return None
        return self.peer / self.ours

    @property
    def verdict(self) -> str:
        """In a word or two: how the ratio stands to what is wanted."""
        if self.skipped or self.refused:
            return f"skipped: {self.skipped}" if self.skipped else f"REFUSED: {self.refused}"
        aim = TABLE.get(self.name)
        if aim is None or self.ratio is None:
            return ""
        return "below the floor" if self.ratio < aim.floor else "goal reached" if self.ratio >= aim.goal else "ok"

    def adding(self, **more: Any) -> Self:
        """The row with more that is worth knowing."""
        return replace(self, more=self.more | more)

    def document(self) -> dict[str, Any]:
        """The row as JSON has it."""
        aim = TABLE.get(self.name)
        return (
            {"name": self.name, "ours": self.ours, "peer": self.peer, "unit": "s", "ratio": self.ratio}
            | {"agreement": self.agreement, "limit": self.limit}
            | ({"floor": aim.floor, "goal": aim.goal} if aim else {})
            | ({"skipped": self.skipped} if self.skipped else {})
            | ({"refused": self.refused} if self.refused else {})
            | self.more
        )

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """The row of a document, whose text of a refusal stays as it was."""
        known = {"name", "ours", "peer", "unit", "ratio", "agreement", "limit", "floor", "goal", "skipped", "refused"}
        agrees = document["agreement"] is not None and document["agreement"] >= document["limit"]
        own = document.get("refused") and (agrees or document["ours"] is None)
        faults = (document["refused"],) if own else ()
        taken = {key: document[key] for key in ("name", "ours", "peer", "agreement", "limit")}
        more = {key: value for key, value in document.items() if key not in known}
        return cls(**taken, skipped=document.get("skipped", ""), faults=faults, more=more)


def compared(
    name: str, ours: Sequence[float], peer: Sequence[float], agreement: float | None, limit: float, **more: Any
) -> Row:
    """The row of seconds taken in turn: medians, and how far each side's seconds lie apart."""
    spread = {"ours": [min(ours), max(ours)], "peer": [min(peer), max(peer)], "runs": [len(ours), len(peer)]}
    return Row(name, statistics.median(ours), statistics.median(peer), agreement, limit, more={"spread": spread} | more)
