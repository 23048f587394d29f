"""What already stands in a task: which regions are known to be accepted, and which brush region a click corrects.

An interactive request's task has `drafts`, `annotations` and `predictions` with all their regions, everybody's, and
does not say who asks. Drafts and annotations lag behind the page by seconds. So:

- A draft that holds a prompt of this very request is the asker's own, and nothing else counts.
- Otherwise all drafts and annotations count, but an annotation that has a draft counts as that draft. One region that
  stands in several of them counts once while it is the same; where it differs it is several regions.
- Predictions count while there is no draft and no annotation: later on, the page may show none of their regions.

A positive click on a region that is in no draft asks for a new mask: it may be that of somebody who labels the same
thing anew, and who must not be given another annotator's mask. To add to such a region, click right beside it.

Some regions are left alone: a locked one; one with strokes of the annotator's that are not in its RLE yet; one that a
relation names, because the editor's page breaks when such a region is suggested anew.

The click corrects a region only when it is the one that the click falls on, or, where it falls on none, the one within
`margin` pixels of it. Between several there is no guess.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.labelstudio import choice, streams
from sam_backend.labelstudio.config import Control, LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import labels_by_id, labels_of, names
from sam_backend.labelstudio.streams import Stream
from sam_backend.sam import geometry
from sam_backend.sam.types import Patch, Size

logger = logging.getLogger(__name__)

Task = Mapping[str, Any]

BRUSH_KINDS = ("brushlabels", "brush")
_MOST_BYTES = 4_000_000
"""Of the streams that one click may look into; that takes a second or two."""
_MOST_VERSIONS = 16
_PER_REGION = 1000
"""What a region costs besides its stream, in bytes of one."""


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A brush region that stands in the task.

    Attributes:
        region_id: its id.
        control: the brush control that it belongs to.
        labels: the names of its labels, as stored in annotations.
        patch: its pixels.
        results: all that stands under its id, as it stands there: the painted one first, then its choices, texts and so
            on. Accepting a region takes the place of all of them, so an answer must hold them all.
    """

    region_id: str
    control: Control
    labels: tuple[str, ...]
    patch: Patch
    results: tuple[Mapping[str, Any], ...]

    @property
    def bitmap(self) -> NDArray[np.bool_]:
        """The pixels as bool (H, W), made anew."""
        return self.patch.bitmap


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A region before its stream is read."""

    region_id: str
    control: Control
    labels: tuple[str, ...]
    raw: Mapping[str, Any]
    work: Mapping[str, Any]

    @property
    def stream(self) -> list[int] | Stream:
        return self.raw["value"]["rle"]  # type: ignore[no-any-return] # `_is_meant` has looked

    def may_be_near(self, point: NDArray[np.float64], size: Size) -> bool:
        """Whether the point is within the margin of its rectangle, as far as that is known, or ValueError."""
        if not isinstance(self.stream, Stream):
            return True
        left, top, right, bottom = self.stream.rectangle(size)
        away = max(left - point[0], point[0] - right, top - point[1], point[1] - bottom)
        return bool(away <= margin(size))


def region_ids(task: Task) -> frozenset[str]:
    """The ids of all regions in the task's drafts and annotations, prompts that were saved with them included."""
    works = [*_works(task, "drafts"), *_works(task, "annotations")]
    return frozenset(raw["id"] for work in works for raw in _regions(work) if isinstance(raw.get("id"), str))


def margin(size: Size) -> float:
    """How far beside a region, in original pixels, a click still means it: half a percent of the longest side."""
    return max(3.0, 0.005 * max(size))


def hit(task: Task, request: PromptRequest, config: LabelConfig, size: Size) -> Painted | None:
    """The brush region that the request's first click corrects.

    Args:
        task: the task of an interactive request; what of it is missing or malformed counts for nothing.
        request: what was asked.
        config: the label config of the same request.
        size: (H, W) of the upright image; a request or region of another size corrects nothing.

    Returns:
        The one region of the request's image and label on which the click falls, or that it falls beside; else None.
    """
    if not request.clicks or request.original_size not in (None, size):
        return None
    candidates = _candidates(task, request, config, size)
    if sum(len(one.stream) + _PER_REGION for one in candidates) > _MOST_BYTES:
        logger.info("The task's brush regions are too much to look for the one under the click.")
        return None
    click = request.clicks[0]
    point = np.array([click.x, click.y]) / 100 * size[::-1]
    near = [(distance, one) for one in candidates if (distance := _distance(one, point, size)) <= margin(size)]
    under = [one for distance, one in near if distance == 0]
    found = under or [one for _, one in near]
    if len(found) > 1:
        logger.info("The click %r is on %d regions of its label; it corrects none.", request.region_id, len(found))
    if len(found) != 1 or (under and click.is_positive and not _is_drafted(task, found[0])):
        return None
    return _painted(found[0], size)


def _is_drafted(task: Task, candidate: _Candidate) -> bool:
    """Whether somebody is at work on the region."""
    return any(draft is candidate.work for draft in _works(task, "drafts"))


def _distance(candidate: _Candidate, point: NDArray[np.float64], size: Size) -> float:
    """Pixels from the point to the region, 0 on it; infinite beyond the margin."""
    try:
        if not candidate.may_be_near(point, size):
            return float("inf")
        patch = streams.patch(candidate.stream, size)
        if patch.holds(geometry.pixels_under(point[None]))[0]:
            return 0.0
        return patch.rows(*geometry.rows_around(point, margin(size), size)).distance(point)
    except ValueError as error:
        logger.info("The region %r is left out: %s.", candidate.region_id, error)
        return float("inf")


def _painted(candidate: _Candidate, size: Size) -> Painted | None:
    if _is_related(candidate.region_id, candidate.work):
        logger.info("The region %r is in a relation; it is not corrected.", candidate.region_id)
        return None
    try:
        patch = streams.patch(candidate.stream, size)
    except ValueError as error:
        logger.info("The region %r is left out: %s.", candidate.region_id, error)
        return None
    return Painted(
        candidate.region_id, candidate.control, candidate.labels, patch, (candidate.raw, *_beside(candidate))
    )


def _candidates(task: Task, request: PromptRequest, config: LabelConfig, size: Size) -> list[_Candidate]:
    """The regions that the request may mean, each once."""
    controls = {
        control.name: (control, choice.for_control(request, config, control).labels)
        for control in config.answers_for(request.control.to_name)
        if control.kind in BRUSH_KINDS
    }
    by_id: dict[str, list[_Candidate]] = {}
    cost = 0
    works = [(work, labels_by_id(_regions(work))) for work in _standing(task, request)]
    for standing, beside, raw in ((work, beside, raw) for work, beside in works for raw in _regions(work)):
        control, labels = controls.get(str(raw.get("from_name")), (None, ()))
        if control is None or not _is_meant(raw, control, request, size):
            continue
        if sorted(_named(raw, control, beside)) != sorted(labels):
            continue
        one = _Candidate(raw["id"], control, labels, raw, standing)
        known = by_id.setdefault(one.region_id, [])
        if (
            cost <= _MOST_BYTES
            and len(known) < _MOST_VERSIONS
            and not any(other.stream == one.stream for other in known)
        ):
            known.append(one)
            cost += len(one.stream) + _PER_REGION
    return [one for known in by_id.values() for one in known]


def _standing(task: Task, request: PromptRequest) -> list[Mapping[str, Any]]:
    """The drafts, annotations or predictions that the asker may have before them."""
    drafts, annotations = _works(task, "drafts"), _works(task, "annotations")
    own = [draft for draft in drafts if _holds(draft, set(request.prompt_ids))]
    if own:
        return own
    drafted = {draft["annotation"] for draft in drafts if isinstance(draft.get("annotation"), int)}
    works = drafts + [one for one in annotations if not (isinstance(one.get("id"), int) and one["id"] in drafted)]
    return works or _works(task, "predictions")


def _holds(work: Mapping[str, Any], ids: set[str]) -> bool:
    return any(isinstance(raw.get("id"), str) and raw["id"] in ids for raw in _regions(work))


def _works(task: Task, key: str) -> list[Mapping[str, Any]]:
    works = task.get(key)
    return [work for work in works if isinstance(work, Mapping)] if isinstance(works, list) else []


def _regions(work: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    result = work.get("result")
    return (raw for raw in result if isinstance(raw, Mapping)) if isinstance(result, list) else iter(())


def _beside(one: _Candidate) -> Iterator[Mapping[str, Any]]:
    """What else stands under the region's id."""
    return (other for other in _regions(one.work) if other is not one.raw and other.get("id") == one.region_id)


def _is_related(region_id: str, work: Mapping[str, Any]) -> bool:
    return any(region_id in (raw.get("from_id"), raw.get("to_id")) for raw in _regions(work))


def _named(raw: Mapping[str, Any], control: Control, beside: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The region's labels: its own, or those that a `<Labels>` gave it."""
    value = raw["value"]
    return names(value.get(control.kind) or value.get("labels")) or labels_of(raw, beside)


def _is_meant(raw: Mapping[str, Any], control: Control, request: PromptRequest, size: Size) -> bool:
    """Whether a region can be changed, is a painted one of that control, and of the request's image."""
    value = raw.get("value")
    if not isinstance(value, Mapping) or not isinstance(raw.get("id"), str) or raw.get("readonly") is True:
        return False
    has_strokes = bool(value.get("touches") or value.get("maskDataURL"))
    is_painted = value.get("format") == "rle" and isinstance(value.get("rle"), list | Stream) and not has_strokes
    is_here = (raw.get("to_name"), raw.get("type")) == (control.to_name, control.kind)
    is_same = (raw.get("original_height"), raw.get("original_width")) == size
    same_item = raw.get("item_index") == request.item_index
    return is_painted and is_here and is_same and same_item
