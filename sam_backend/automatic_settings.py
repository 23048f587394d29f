"""The settings of automatic mode: what is labeled before anybody asks, and how its masks are found and chosen.

The mask generator's names and defaults are those of segment-anything's `SamAutomaticMaskGenerator`. Each can be set by
its environment variable, by its name in the model connection's `extra_params`, and by an option of `prelabel`.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
GridPoint = tuple[Fraction, Fraction]


def _from_json(value: Any) -> Any:
    """The environment and the command line have text."""
    return json.loads(value) if isinstance(value, str) else value


PointGrids = Annotated[tuple[tuple[GridPoint, ...], ...] | None, BeforeValidator(_from_json)]


class AutomaticSettings(BaseModel):
    """A part of `Settings`. A field's name is also its key in `extra_params`; with `-` for `_`, its option."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    mode: Literal["off", "everything", "boxes"] = Field(
        "off",
        validation_alias="SAM_AUTOMATIC",
        description=(
            "What is labeled when tasks are opened or predictions are retrieved: nothing (`off`), `everything` on the "
            "image, or one mask in each of the `boxes` that the task has already."
        ),
    )
    label: str = Field(
        "",
        max_length=1000,
        validation_alias="SAM_AUTOMATIC_LABEL",
        description=(
            "Label of the masks of `everything`. Empty: the label config's only label, and none where it has several."
        ),
    )
    points_per_side: int | None = Field(
        32,
        ge=1,
        le=512,
        validation_alias="SAM_POINTS_PER_SIDE",
        description="Points of the grid along each side of the image; the grid has this number squared.",
    )
    points_per_batch: int = Field(
        16,
        ge=1,
        le=256,
        validation_alias="SAM_POINTS_PER_BATCH",
        description="Points that are decoded at once: more take more memory, and are hardly faster.",
    )
    pred_iou_thresh: float = Field(
        0.88,
        validation_alias="SAM_PRED_IOU_THRESH",
        description="Masks of which the model predicts a lower IoU are dropped.",
    )
    stability_score_thresh: float = Field(
        0.95,
        validation_alias="SAM_STABILITY_SCORE_THRESH",
        description="Masks that change more when their threshold is shifted are dropped.",
    )
    stability_score_offset: float = Field(
        1.0,
        ge=0,
        validation_alias="SAM_STABILITY_SCORE_OFFSET",
        description="By how much the threshold is shifted for that.",
    )
    box_nms_thresh: Fraction = Field(
        0.7,
        validation_alias="SAM_BOX_NMS_THRESH",
        description="Of two masks whose boxes overlap by more than this IoU, that of lower predicted IoU is dropped.",
    )
    crop_n_layers: int = Field(
        0,
        ge=0,
        le=5,
        validation_alias="SAM_CROP_N_LAYERS",
        description="Look at crops of the image too: layer n has 2^n crops a side. Finds small things, costs encodes.",
    )
    crop_nms_thresh: Fraction = Field(
        0.7,
        validation_alias="SAM_CROP_NMS_THRESH",
        description="As `SAM_BOX_NMS_THRESH`, between masks of different crops.",
    )
    crop_overlap_ratio: float = Field(
        512 / 1500,
        ge=0,
        lt=1,
        validation_alias="SAM_CROP_OVERLAP_RATIO",
        description="Share of the image's shorter side by which the first layer's crops overlap; less in further ones.",
    )
    crop_n_points_downscale_factor: int = Field(
        1,
        ge=1,
        le=64,
        validation_alias="SAM_CROP_N_POINTS_DOWNSCALE_FACTOR",
        description="Layer n's grid has `SAM_POINTS_PER_SIDE` divided by this to the power of n points a side.",
    )
    point_grids: PointGrids = Field(
        None,
        validation_alias="SAM_POINT_GRIDS",
        description=(
            "Grids of your own in place of the regular ones: JSON, for the image and each layer of crops a list of "
            "[x, y] from 0 to 1."
        ),
    )
    min_mask_region_area: int = Field(
        0,
        ge=0,
        validation_alias="SAM_MIN_MASK_REGION_AREA",
        description="Fill holes of a mask and drop islands that have fewer pixels than this; `0`: none.",
    )
    guided: bool = Field(
        default=False,
        validation_alias="SAM_GUIDED",
        description="Skip points of the grid that a good mask explains already: faster, at nearly equal recall.",
    )
    overlapping: bool = Field(
        default=True,
        validation_alias="SAM_OVERLAPPING",
        description="Let masks overlap. `false`: each pixel goes to one mask, the smallest that has it.",
    )
    min_area: Fraction = Field(
        0.0,
        validation_alias="SAM_MIN_AREA",
        description="Drop masks that cover a smaller share of the image than this.",
    )
    max_area: Fraction = Field(
        1.0,
        validation_alias="SAM_MAX_AREA",
        description="Drop masks that cover a larger share of the image than this.",
    )
    max_regions: int = Field(
        100,
        ge=0,
        validation_alias="SAM_MAX_REGIONS",
        description=(
            "Most regions of an image, the best ones: past about a hundred, Label Studio's editor suffers. `0`: no cap."
        ),
    )
    max_rle: int = Field(
        1_000_000,
        ge=0,
        validation_alias="SAM_MAX_RLE",
        description="Most numbers in all brush RLEs of an image together; what is beyond is left out. `0`: no cap.",
    )

    @model_validator(mode="after")
    def _one_kind_of_grid(self) -> Self:
        if self.points_per_side is None and self.point_grids is None:
            raise ValueError("points_per_side or point_grids must be given")
        if self.point_grids is not None and len(self.point_grids) != self.crop_n_layers + 1:
            raise ValueError("point_grids must have one grid for the image and one for each of crop_n_layers")
        if self.min_area > self.max_area:
            raise ValueError("min_area is more than max_area")
        return self
