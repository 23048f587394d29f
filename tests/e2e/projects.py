"""Projects and tasks through Label Studio's API, and what stands in their tasks."""

import io
from pathlib import Path
from typing import Any

from examples.demo.drawing import Drawing
from examples.demo.label_studio import LabelStudio
from examples.demo.scenes import save
from tests.e2e.browser import wait_for

LABEL_CONFIGS = Path(__file__).resolve().parents[2] / "examples" / "label_configs"

Region = dict[str, Any]


def label_config(name: str) -> str:
    """An example's XML."""
    return (LABEL_CONFIGS / f"{name}.xml").read_text(encoding="utf-8")


def jpeg(drawing: Drawing, *, lying: bool = False) -> bytes:
    """The picture as a file; `lying` stores it turned, with the EXIF orientation that undoes it."""
    file = io.BytesIO()
    save(drawing, file, lying=lying)
    return file.getvalue()


def add_task(studio: LabelStudio, project: int, pictures: list[bytes]) -> int:
    """A task of one picture, or of several for a label config with `valueList="$images"`; its id."""
    if len(pictures) == 1:
        studio.upload(project, "picture.jpg", pictures[0])
    else:
        addresses = [_store(studio, project, picture) for picture in pictures]
        studio.request("POST", f"/api/projects/{project}/import", json=[{"images": addresses}])
    return int(studio.tasks(project)[-1]["id"])


def _store(studio: LabelStudio, project: int, picture: bytes) -> str:
    """Upload a picture without making a task of it; its address."""
    path, options = f"/api/projects/{project}/import", {"commit_to_project": "false"}
    answer = studio.request("POST", path, params=options, files={"picture.jpg": ("picture.jpg", picture)})
    (upload,) = answer["file_upload_ids"]
    return f"/data/{studio.request('GET', f'/api/import/file-upload/{upload}')['file']}"


def annotate(studio: LabelStudio, task: int, result: list[Region]) -> None:
    """Save an annotation as if an annotator had made it."""
    studio.request("POST", f"/api/tasks/{task}/annotations", json={"result": result})


def predict(studio: LabelStudio, task: int, region: Region) -> str:
    """Save a prediction of one region; the region's id."""
    studio.request("POST", "/api/predictions", json={"task": task, "result": [region], "model_version": "elsewhere"})
    return str(region["id"])


def saved_regions(studio: LabelStudio, project: int) -> list[Region]:
    """The regions of the one annotation of the project's one task, as soon as it is saved."""
    (annotation,) = wait_for(lambda: studio.tasks(project)[0]["annotations"], "saved annotation")
    regions: list[Region] = annotation["result"]
    return regions


def wait_for_draft(studio: LabelStudio, task: int, region_id: str) -> None:
    """Wait until a region stands in the task's draft, which the page saves some seconds after each change."""

    def is_there() -> bool:
        drafts = studio.request("GET", f"/api/tasks/{task}/drafts")
        return any(region.get("id") == region_id for draft in drafts for region in draft["result"])

    wait_for(is_there, f"draft with the region {region_id}")
