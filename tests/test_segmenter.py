"""The hall: one encode an image, however many ask, and nothing for a prompt that points at nothing."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sam_backend import metrics
from sam_backend.errors import ModelError, ModelFolderError, PromptError, SettingError
from sam_backend.sam import decoder, image_side
from sam_backend.sam.image_side import ImageSide
from sam_backend.sam.model import CompiledSam
from sam_backend.sam.types import Embedding, Image, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.served_model import model_folder
from sam_backend.settings import Settings


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(Settings())


def picture(seed: int, height: int = 120, width: int = 180) -> Image:
    rng = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), 90, np.uint8) + rng.integers(0, 9, (height, width, 3), np.uint8)
    rgb[30:80, 40:110] = (200, 60, 40)
    return Image(rgb, f"picture-{seed}-{height}-{width}")


def click(x: float, y: float, label: int = 1) -> Prompt:
    return Prompt(points=np.array([[x, y]]), point_labels=np.array([label]))


def encodes() -> float:
    return metrics.REGISTRY.get_sample_value("sam_encodes_total") or 0.0


def test_a_click_on_a_red_rectangle_gives_that_rectangle(segmenter: Segmenter) -> None:
    image = picture(0)
    (mask,) = segmenter.segment(image, click(75, 55))
    truth = np.zeros(image.original_size, np.bool_)
    truth[30:80, 40:110] = True
    assert mask.bitmap.shape == image.original_size
    assert (mask.bitmap & truth).sum() / (mask.bitmap | truth).sum() >= 0.9
    assert 0.5 <= mask.score <= 1.1
    assert 0 <= mask.stability <= 1


def test_eight_threads_asking_for_one_new_image_encode_it_once(segmenter: Segmenter) -> None:
    image, before = picture(1), encodes()
    with ThreadPoolExecutor(8) as pool:
        masks = [mask for (mask,) in pool.map(lambda _: segmenter.segment(image, click(75, 55)), range(16))]
    assert encodes() - before == 1
    assert len({mask.bitmap.tobytes() for mask in masks}) == 1


@pytest.mark.parametrize("prompt", [Prompt(), click(75, 55, label=0)], ids=["nothing", "a negative click alone"])
def test_pointing_at_nothing_answers_nothing_and_encodes_nothing(segmenter: Segmenter, prompt: Prompt) -> None:
    before = encodes()
    assert segmenter.segment(picture(2), prompt) == []
    assert encodes() == before


@pytest.mark.parametrize(
    "prompt",
    [
        click(float("nan"), 5),
        Prompt(boxes=np.array([[0.0, 0, 5, 5], [0, 0, 9, 9]])),
        Prompt(boxes=np.array([[0.0, 0, 5, 5]]), mask_input=np.zeros((1, 3, 3), np.float32)),
    ],
    ids=["not a number", "two boxes", "a mask of another size"],
)
def test_a_prompt_without_meaning_is_a_named_error(segmenter: Segmenter, prompt: Prompt) -> None:
    with pytest.raises(PromptError):
        segmenter.segment(picture(3), prompt)


def three_clicks() -> Prompt:
    return Prompt(points=np.array([[75.0, 55], [120, 60], [50, 40]]), point_labels=np.array([1, 0, 1]))


def until(count: int) -> Prompt:
    asked = three_clicks()
    return Prompt(points=asked.points[:count], point_labels=asked.point_labels[:count])


def test_three_clicks_are_decoded_as_segment_anything_refines(segmenter: Segmenter) -> None:
    """Each step has all clicks so far and the logits that were shown before; nothing else goes in."""
    image, model = picture(20), segmenter.load()
    embedding = segmenter.embed(image)
    answer = decoder.decode(model, embedding, until(1))
    logits = answer.logits[1 + int(np.argmax(answer.iou_predictions[1:]))]
    for count in (2, 3):
        logits = decoder.decode(model, embedding, replace(until(count), mask_input=logits[None])).logits[0]
    (mask,) = segmenter.segment(image, three_clicks())
    assert mask.low_res_logits.tobytes() == logits.tobytes()


def test_a_new_click_costs_one_decode_and_a_replay_gives_the_same_bytes(segmenter: Segmenter) -> None:
    def decodes() -> float:
        return metrics.REGISTRY.get_sample_value("sam_decodes_total") or 0.0

    image = picture(21)
    for count in (1, 2, 3):
        before = decodes()
        (grown,) = segmenter.segment(image, until(count))
        assert decodes() - before == 1
    before = decodes()
    (again,) = segmenter.segment(image, three_clicks())
    assert decodes() == before
    (replayed,) = Segmenter(Settings()).segment(image, three_clicks())
    assert decodes() - before == 3
    masks = (grown, again, replayed)
    assert len({(mask.bitmap.tobytes(), mask.low_res_logits.tobytes(), mask.score) for mask in masks}) == 1


@pytest.mark.parametrize(("budget", "made"), [(2**27, 2), (0, 12)], ids=["kept", "forgotten"])
def test_what_an_image_is_before_any_prompt_is_made_once_and_never_taken_for_anothers(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, budget: int, made: int
) -> None:
    """Clicks on two images in turn; the answers are those of a decoder that keeps nothing."""
    prepared = []

    def prepare(model: CompiledSam, embedding: Embedding) -> ImageSide:
        prepared.append(embedding)
        return image_side.prepare(model, embedding)

    monkeypatch.setattr("sam_backend.steps.image_side", SimpleNamespace(prepare=prepare))
    monkeypatch.setattr("sam_backend.steps._SIDES_BUDGET", budget)
    monkeypatch.setattr("sam_backend.steps._ANSWERS_BUDGET", 0)
    fresh, images = Segmenter(Settings(chain=False)), (picture(30), picture(31, 200, 90))
    for count in (1, 2, 3, 1, 2, 3):
        for image in images:
            (mask,) = fresh.segment(image, until(count))
            answer = decoder.decode(segmenter.load(), segmenter.embed(image), until(count))
            assert any(mask.low_res_logits.tobytes() == logits.tobytes() for logits in answer.logits)
    assert len(prepared) == made


def test_a_removed_click_is_as_if_it_had_never_been(segmenter: Segmenter) -> None:
    image = picture(22)
    (first,) = segmenter.segment(image, until(1))
    segmenter.segment(image, three_clicks())
    (back,) = segmenter.segment(image, until(1))
    assert back.bitmap.tobytes() == first.bitmap.tobytes()


def test_without_the_chain_all_clicks_are_decoded_at_once() -> None:
    image, segmenter = picture(23), Segmenter(Settings(chain=False))
    (mask,) = segmenter.segment(image, three_clicks())
    answer = decoder.decode(segmenter.load(), segmenter.embed(image), three_clicks())
    assert mask.low_res_logits.tobytes() == answer.logits[0].tobytes()


def test_the_settings_choose_and_tidy_the_mask() -> None:
    image = picture(24)
    image.rgb[5:25, 130:170] = (200, 60, 40)
    (best,) = Segmenter(Settings()).segment(image, click(75, 55))
    (smallest,) = Segmenter(Settings(choose="smallest")).segment(image, click(75, 55))
    (largest,) = Segmenter(Settings(choose="largest")).segment(image, click(75, 55))
    every = Segmenter(Settings(choose="all")).segment(image, click(75, 55))
    assert smallest.bitmap.sum() <= best.bitmap.sum() <= largest.bitmap.sum()
    assert 1 <= len(every) <= 3
    assert np.array_equal(every[0].bitmap, best.bitmap)
    both = Prompt(points=np.array([[75.0, 55], [150, 15]]), point_labels=np.array([1, 1]))
    (mask,) = Segmenter(Settings()).segment(image, both)
    (tidy,) = Segmenter(Settings(fill_holes=10**9, drop_islands=10**9)).segment(image, both)
    assert np.array_equal(tidy.low_res_logits, mask.low_res_logits)
    assert tidy.bitmap[55, 75] == mask.bitmap[55, 75]
    parts, _ = cv2.connectedComponents(tidy.bitmap.astype(np.uint8), connectivity=8)
    holes, _ = cv2.connectedComponents((~np.pad(tidy.bitmap, 1)).astype(np.uint8), connectivity=4)
    assert parts - 1 <= 2
    assert holes - 1 == 1


def test_the_earlier_mask_guides_the_next_click(segmenter: Segmenter) -> None:
    image = picture(4)
    (first,) = segmenter.segment(image, click(75, 55))
    second = Prompt(
        points=np.array([[75.0, 55], [50, 40]]), point_labels=np.array([1, 1]), mask_input=first.low_res_logits[None]
    )
    (mask,) = segmenter.segment(image, second)
    assert (mask.bitmap & first.bitmap).sum() / (mask.bitmap | first.bitmap).sum() >= 0.8


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (40, 30)])
def test_odd_sizes_are_answered_at_their_own_size(segmenter: Segmenter, size: tuple[int, int]) -> None:
    image = picture(5, *size)
    for mask in segmenter.segment(image, Prompt(boxes=np.array([[0.0, 0, size[1], size[0]]]))):
        assert mask.bitmap.shape == size


def test_a_budget_too_small_for_one_embedding_still_answers() -> None:
    segmenter = Segmenter(Settings(memory_cache=1))
    assert segmenter.segment(picture(6), click(75, 55))


def test_the_version_names_model_weights_and_precision(segmenter: Segmenter) -> None:
    model, weights, *precision = segmenter.model_version.split("-")
    assert (model, weights) == ("builtin", segmenter.info.checkpoint_sha256[:8])
    assert precision[-1] == "f32"
    assert Segmenter(Settings(precision="bf16")).model_version != segmenter.model_version


def test_the_model_is_compiled_on_first_use_only() -> None:
    assert not Segmenter(Settings()).loaded


def test_what_openvino_refuses_is_a_named_error(segmenter: Segmenter) -> None:
    image = picture(7)
    embedding = segmenter.embed(image)
    torn = replace(embedding, features={"image_embeddings": embedding.features["image_embeddings"][:, :-1]})
    with pytest.raises(ModelError, match="OpenVINO failed"):
        decoder.decode(segmenter.load(), torn, click(75, 55))


def test_graphs_that_are_no_sam_are_a_named_error(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder(Settings()), tmp_path / "other"))
    xml = folder / "upscaling.xml"
    text = xml.read_text()
    assert "low_res_masks" in text
    xml.write_text(text.replace("low_res_masks", "something_else"))
    with pytest.raises(ModelError, match="has no low_res_masks"):
        Segmenter(Settings(model="other", model_dir=tmp_path)).load()


def test_a_missing_model_or_device_stops_the_start() -> None:
    with pytest.raises(ModelFolderError):
        Segmenter(Settings(model="vit_x"))
    with pytest.raises(SettingError, match="SAM_DEVICE = 'NPU'"):
        Segmenter(Settings(device="NPU"))
