"""Embeddings outlive the process, and no embedding is ever taken for another's."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sam_backend import metrics
from sam_backend.cache import embeddings
from sam_backend.errors import SettingError, StartError
from sam_backend.sam import geometry
from sam_backend.sam.folder import PARTS, read_info
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.served_model import model_folder
from sam_backend.settings import Settings
from tests.test_segmenter import click, encodes, picture


def segmenter(folder: Path, **settings: object) -> Segmenter:
    return Segmenter(Settings.model_validate({"cache_dir": folder, **settings}))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def asked(tier: str) -> tuple[float, float]:
    """Hits and misses of a tier so far."""
    labels = {"cache": "embeddings", "tier": tier}
    hits, misses = (metrics.REGISTRY.get_sample_value(f"sam_cache_{kind}_total", labels) for kind in ("hits", "misses"))
    return hits or 0.0, misses or 0.0


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has the embedding of `picture(0)`."""
    folder = tmp_path_factory.mktemp("stored")
    first = segmenter(folder)
    first.embed(picture(0))
    first.flush()
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "cache"))


def test_a_restart_finds_the_embedding_and_answers_with_the_same_bytes(folder: Path) -> None:
    (encoded,) = Segmenter(Settings()).segment(picture(0), click(75, 55))
    before, (hits, _) = encodes(), asked("disk")
    (found,) = segmenter(folder).segment(picture(0), click(75, 55))
    assert encodes() == before
    assert asked("disk")[0] == hits + 1
    assert found.bitmap.tobytes() == encoded.bitmap.tobytes()
    assert found.low_res_logits.tobytes() == encoded.low_res_logits.tobytes()
    assert (found.score, found.stability) == (encoded.score, encoded.stability)


def test_whether_it_is_stored_is_answered_without_the_model(folder: Path) -> None:
    fresh, before = segmenter(folder), encodes()
    assert fresh.is_stored(picture(0))
    assert not fresh.is_stored(picture(1))
    assert not Segmenter(Settings()).is_stored(picture(0))
    assert not fresh.loaded
    assert encodes() == before


def test_after_a_flush_it_is_stored(tmp_path: Path) -> None:
    fresh = segmenter(tmp_path)
    fresh.embed(picture(1))
    fresh.flush()
    assert fresh.is_stored(picture(1))
    assert not fresh.is_stored(picture(0))


def test_a_view_of_the_image_is_stored_beside_it(folder: Path) -> None:
    image = picture(0)
    view = Image(np.ascontiguousarray(image.rgb[:60, :80]), f"{image.digest}@0,0,80,60")
    first = segmenter(folder)
    first.embed(view)
    first.flush()
    before = encodes()
    assert segmenter(folder).embed(view).original_size == (60, 80)
    assert segmenter(folder).embed(image).original_size == image.original_size
    assert encodes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: os.truncate(path, 0),
    ],
    ids=["torn", "zeros", "empty"],
)
def test_a_broken_entry_is_encoded_again_and_mended(folder: Path, spoil: Callable[[Path], object]) -> None:
    (path,) = files(folder)
    whole = path.read_bytes()
    spoil(path)
    fresh, before = segmenter(folder), encodes()
    fresh.embed(picture(0))
    fresh.flush()
    assert encodes() == before + 1
    assert path.read_bytes() == whole


def test_another_picture_another_model_and_another_precision_have_embeddings_of_their_own(
    folder: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(model_folder(Settings()), tmp_path / "other"))
    export_id = read_info(other).export_id
    for name in ("model.json", *(f"{part}.xml" for part in PARTS)):
        text = (other / name).read_text()
        (other / name).write_text(text.replace(export_id, "0123456789abcdef"))
    before = encodes()
    for image, settings in (
        (picture(2), {}),
        (picture(0), {"precision": "bf16"}),
        (picture(0), {"model": "other", "model_dir": tmp_path}),
    ):
        fresh = segmenter(folder, **settings)
        assert fresh.embed(image).model_id == fresh.model_version
        fresh.flush()
    assert encodes() == before + 3
    assert len(files(folder)) == 4


def test_an_entry_under_another_s_name_is_not_taken_for_it(folder: Path) -> None:
    first = segmenter(folder)
    first.embed(picture(2))
    first.flush()
    one, two = files(folder)
    shutil.copyfile(one, two)
    kept = {image.digest: first.embed(image).features["image_embeddings"] for image in (picture(0), picture(2))}
    fresh = segmenter(folder)
    for image in (picture(0), picture(2)):
        assert np.array_equal(fresh.embed(image).features["image_embeddings"], kept[image.digest])


def test_another_preprocessing_has_keys_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = embeddings.key("digest", ["model"])
    monkeypatch.setattr(geometry, "PREPROCESSING", geometry.PREPROCESSING + 1)
    assert embeddings.key("digest", ["model"]) != before


def test_a_disk_that_fails_costs_nothing_but_the_restart(tmp_path: Path) -> None:
    fresh = segmenter(tmp_path / "cache")
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").write_text("a file in its place")
    before = encodes()
    assert fresh.segment(picture(0), click(75, 55))
    assert fresh.segment(picture(0), click(60, 50))
    fresh.flush()
    assert encodes() == before + 1
    assert not fresh.is_stored(picture(0))


def test_the_budget_holds_for_embeddings(folder: Path) -> None:
    size = files(folder)[0].stat().st_size
    fresh = segmenter(folder, disk_cache=2 * size + 100)
    for seed in range(10, 14):
        fresh.embed(picture(seed))
        fresh.flush()
        assert sum(path.stat().st_size for path in files(folder)) <= 2 * size + 100
    assert fresh.is_stored(picture(13))


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(SettingError, match="SAM_CACHE_DIR = ") as caught:
            segmenter(folder)
        assert isinstance(caught.value, StartError)
        assert str(folder) in str(caught.value)
