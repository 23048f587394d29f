"""The settings of the answers: what a mask becomes, and how prompts work together."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ANSWERS = ("brush", "bitmask", "polygon", "ellipse", "rectangle")
"""The kinds of regions that a mask can become, in the order of preference."""


def _answer_kinds(value: str) -> str:
    kinds = [kind.strip().lower() for kind in value.split(",")]
    wrong = sorted(set(kinds) - set(ANSWERS)) or sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if wrong:
        raise ValueError(f"{wrong[0]!r} is none of {', '.join(ANSWERS)}, or stands there twice")
    return ",".join(kinds)


AnswerKinds = Annotated[str, AfterValidator(_answer_kinds)]


class AnswerSettings(BaseModel):
    """A part of `Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    answer: AnswerKinds = Field(
        ",".join(ANSWERS),
        validation_alias="SAM_ANSWER",
        description=(
            "Which kind of region answers where a label config has controls of several: the one that offers the label, "
            "of equals the first of these. Kinds that are left out are never answered with."
        ),
    )
    polygon_tolerance: float = Field(
        1.0,
        ge=0,
        le=100,
        validation_alias="SAM_POLYGON_TOLERANCE",
        description="Pixels by which a polygon's outline may differ from the mask's.",
    )
    polygon_points: int = Field(
        200,
        ge=3,
        le=10_000,
        validation_alias="SAM_POLYGON_POINTS",
        description="Most points of a polygon; a longer outline is simplified further.",
    )
    choose: Literal["best", "smallest", "largest", "all"] = Field(
        "best",
        validation_alias="SAM_CHOOSE",
        description=(
            "Which of SAM's three masks answers a single click: `best` by predicted IoU, `smallest`, `largest`, or "
            "`all` as separate suggestions."
        ),
    )
    fill_holes: int = Field(
        0,
        ge=0,
        validation_alias="SAM_FILL_HOLES",
        description="Fill holes of a mask that have fewer pixels than this; `0`: none.",
    )
    drop_islands: int = Field(
        0,
        ge=0,
        validation_alias="SAM_DROP_ISLANDS",
        description="Drop parts of a mask that have fewer pixels than this, but never its largest; `0`: none.",
    )
    keep_clicked: bool = Field(
        default=False,
        validation_alias="SAM_KEEP_CLICKED",
        description="Keep only a mask's parts that hold a positive click; of a box without clicks, its largest.",
    )
    chain: bool = Field(
        default=True,
        validation_alias="SAM_CHAIN",
        description="Let each further click refine the mask of the clicks before it, instead of starting anew.",
    )
    join_seconds: float = Field(
        120.0,
        ge=0,
        le=86_400,
        validation_alias="SAM_JOIN_SECONDS",
        description="How long a rectangle waits for clicks that belong to it; `0`: rectangles and clicks never join.",
    )
    multi_box: Literal["last", "each"] = Field(
        "last",
        validation_alias="SAM_MULTI_BOX",
        description="Of several rectangles, answer the `last` one, or `each` with a region of its own.",
    )
    correct: bool = Field(
        default=True,
        validation_alias="SAM_CORRECT",
        description="Let a click on, or right beside, a brush region of its label correct that region.",
    )
    crop_below: float = Field(
        0.1,
        ge=0,
        lt=1,
        validation_alias="SAM_CROP_BELOW",
        description=(
            "Objects whose longest side is less than this share of the image's are segmented from a crop at full "
            "resolution; `0`: never."
        ),
    )
