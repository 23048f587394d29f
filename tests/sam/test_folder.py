"""A model folder whose parts don't belong together is refused before anything is loaded."""

import json
import re
import shutil
from pathlib import Path

import pytest

from sam_backend.errors import ModelFolderError
from sam_backend.sam.folder import PARTS, read_info
from sam_backend.served_model import model_folder
from sam_backend.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder(Settings()), tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read_info(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_the_shipped_model_is_whole(folder: Path) -> None:
    info = read_info(folder)
    assert info.model_id == "builtin"
    assert info.folder == folder


def test_missing_folder_says_which_settings_to_change(tmp_path: Path) -> None:
    assert "SAM_MODEL_DIR" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_export_is_refused(folder: Path, part: str) -> None:
    xml = folder / f"{part}.xml"
    text = xml.read_text()
    marked = re.sub(r'(<export_id value=")[0-9a-f]+', r"\g<1>0123456789abcdef", text)
    assert marked != text
    xml.write_text(marked)
    assert f"{part}.xml in" in refusal(folder)
    assert "another export" in refusal(folder)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_without_a_mark_is_refused(folder: Path, part: str) -> None:
    xml = folder / f"{part}.xml"
    xml.write_text(xml.read_text().replace("export_id", "something"))
    assert "no mark" in refusal(folder)


@pytest.mark.parametrize("name", sorted({f"{part}.xml" for part in PARTS} | {f"{half}.bin" for half in PARTS.values()}))
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal(folder)


@pytest.mark.parametrize("part", PARTS)
def test_truncated_files_are_refused(folder: Path, part: str) -> None:
    for path in (folder / f"{PARTS[part]}.bin", folder / f"{part}.xml"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1000])
        assert path.name in refusal(folder)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image_size": "big"}, "image_size"),
        ({"format": 2}, "format"),
        ({"checkpoint_sha256": "x"}, "checkpoint_sha256"),
    ],
)
def test_a_wrong_description_is_named(folder: Path, change: dict[str, object], named: str) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert named in refusal(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json"])
def test_a_description_that_is_no_description_is_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    assert "model.json" in refusal(folder)
