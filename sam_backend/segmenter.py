"""The hall: the only file that knows the order of the stages. Image → embedding (cache) → decoder → masks."""

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sam_backend import metrics
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.cache import embeddings
from sam_backend.cache.redis_link import RedisLink
from sam_backend.cache.stores import open_link
from sam_backend.sam import (
    automatic,
    chain,
    cleaning,
    correction,
    encoder,
    geometry,
    grids,
    masks,
    points,
    views,
)
from sam_backend.sam.automatic import Found
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.magnifier import Magnifier
from sam_backend.sam.model import CompiledSam
from sam_backend.sam.proposals import Scene
from sam_backend.sam.turns import Turns, Urgency
from sam_backend.sam.types import Embedding, Image, Mask, Prompt
from sam_backend.served_model import ServedModel
from sam_backend.settings import Settings
from sam_backend.steps import Steps


class Segmenter:
    """Answers prompts on images with one model. Threads share it.

    Making one reads and checks the model folder, which is quick; the model is compiled on first use or by `load`.

    Args:
        settings: the model, its device, its caches and what it does with prompts.
        link: the connections to Redis; None: its own, if the settings name a Redis.

    Raises:
        ModelFolderError: the model folder is missing, broken, or made of parts of several exports.
        SettingError: there is no such device, or the folder of `SAM_CACHE_DIR` cannot be made.
    """

    def __init__(self, settings: Settings, link: RedisLink | None = None) -> None:
        self._settings = settings
        self._model = ServedModel(settings)
        self.info: ModelInfo = self._model.info
        self._magnifier = Magnifier(self.info.image_size, settings.crop_below)
        self._embeddings = embeddings.open_tiers(settings, link or open_link(settings))
        self.turns = Turns()
        self._steps = Steps(self._model, settings.choose, chained=settings.chain)

    @property
    def model_version(self) -> str:
        """Model, the checkpoint's hash and the precision: equal versions give equal answers."""
        return self._model.version

    @property
    def precision(self) -> str:
        """The arithmetic that OpenVINO is asked for."""
        return self._model.precision

    @property
    def loaded(self) -> bool:
        """Whether the model is compiled."""
        return self._model.loaded

    def load(self) -> CompiledSam:
        """Compile the model, once; a failure is raised to each caller, and the next one tries again.

        Raises:
            ModelError: OpenVINO refused.
        """
        return self._model.load()

    def embed(self, image: Image, urgency: Urgency = Urgency.CLICK) -> Embedding:
        """The image's embedding: from the first tier that has it, or computed once however many ask."""
        key = self._key(image)
        with self.turns.claim(key, urgency):
            return self._embeddings.get(key, lambda: self._encoded(image, urgency))

    def is_stored(self, image: Image) -> bool:
        """Whether the image's embedding outlives this process: it is read and checked, nothing is computed."""
        return self._embeddings.is_stored(self._key(image))

    def caches(self) -> dict[str, bool]:
        """Where embeddings outlive this process or are shared, by name, and whether each can be reached now."""
        return self._embeddings.reachable()

    def flush(self) -> None:
        """Wait until the embeddings so far are where `SAM_CACHE_DIR` wants them, or have failed to get there."""
        self._embeddings.flush()

    def _key(self, image: Image) -> str:
        return embeddings.key(image.digest, (self.model_version, self.info.export_id))

    def _encoded(self, image: Image, urgency: Urgency) -> Embedding:
        model = self.load()
        encode = functools.partial(encoder.encode, model, image, self.model_version)
        with metrics.stage("encode"):
            embedding = self.turns.take(self._key(image), urgency, model.encoder_request, encode)
        metrics.count_encode()
        return embedding

    def segment(self, image: Image, prompt: Prompt) -> list[Mask]:
        """Answer one prompt; the answer depends on the image and the prompt alone.

        Args:
            image: the upright image.
            prompt: its points in the order in which they were asked, its box asked before them.

        Returns:
            Masks at the image's original size, one unless `SAM_CHOOSE` says `all`, none of them empty; no mask when
            the prompt points at nothing.

        Raises:
            PromptError: the prompt has no meaning on this image.
            ModelError: OpenVINO failed.
        """
        if chain.is_empty(prompt):
            return []
        view = self._magnifier.choose(image, prompt, self._find)
        shown = view.into(prompt)
        embedding, answer, chosen = self._answer(view.image, shown)
        with metrics.stage("upscale"):
            found = [masks.finish(self.info, embedding, answer, index) for index in chosen]
            return [view.back(self._clean(mask, shown)) for mask in found if not mask.patch.is_empty]

    def everything(
        self, image: Image, parameters: AutomaticSettings, proceed: Callable[[], object] = lambda: None
    ) -> Found:
        """Find everything on an image, as segment-anything's `SamAutomaticMaskGenerator` does.

        Args:
            image: the upright image. Its embedding is cached, those of its crops are not.
            parameters: the generator's.
            proceed: called before each batch of points; it may wait, or raise to end it.

        Raises:
            ModelError: OpenVINO failed.
        """
        model = self.load()

        def open_view(view: views.View) -> tuple[Scene, points.Decode]:
            seen = self.embed if view.image is image else self._encoded
            embedding = seen(view.image, Urgency.OPENED)
            model.rest_encoder()  # the batches that follow take their own
            ask = points.decoding(model, embedding)

            def decode(batch: NDArray[np.float64]) -> points.Answers:
                proceed()
                with metrics.stage("decode"):
                    answers = ask(batch)
                metrics.count_decode(len(batch))
                return answers

            return Scene(self.info, view, embedding, parameters), decode

        crops = grids.crops(image.original_size, parameters.crop_n_layers, parameters.crop_overlap_ratio)
        shown = ((views.crop(image, crop) if layer else views.whole(image), layer) for crop, layer in crops)
        try:
            return automatic.generate(image, parameters, shown, open_view)
        finally:
            model.rest_points()

    def correct(self, image: Image, prompt: Prompt, before: NDArray[np.bool_]) -> list[Mask]:
        """Let the points of a prompt correct a mask that stands; all that they don't point at stays as it is.

        Args:
            image: the upright image.
            prompt: its points in the order in which they were asked.
            before: the mask, bool (H, W) at the image's original size.

        Returns:
            One mask at the image's original size, or none when nothing is left of it.

        Raises:
            PromptError, ModelError: as `segment`.
        """
        view = self._magnifier.frame(image, geometry.bounds(before, image.original_size), prompt.points)
        mask = self._correct(view, prompt, before)
        if view.breaks(mask.patch.extent):
            mask = self._correct(views.whole(image), prompt, before)
        return [] if mask.patch.is_empty else [mask]

    def _correct(self, view: views.View, prompt: Prompt, before: NDArray[np.bool_]) -> Mask:
        embedding = self.embed(view.image)

        def decode(asked: Prompt) -> Mask:
            answer = self._steps.decode(view.image.digest, embedding, asked)
            return masks.finish(self.info, embedding, answer, self._choose(embedding, answer, asked)[0])

        with metrics.stage("decode"):
            mask = correction.correct(decode, self.info, embedding, view.cut(before), view.into(prompt))
        return view.back(mask)

    def _clean(self, mask: Mask, prompt: Prompt) -> Mask:
        patch = cleaning.clean(
            mask.patch,
            prompt.points,
            prompt.point_labels,
            fill_holes=self._settings.fill_holes,
            drop_islands=self._settings.drop_islands,
            keep_clicked=self._settings.keep_clicked,
        )
        return replace(mask, patch=patch)

    def _find(self, view: views.View, prompt: Prompt) -> views.Finding:
        embedding, answer, chosen = self._answer(view.image, view.into(prompt))
        return views.find(self.info, view, embedding, answer, chosen[0])

    def _answer(self, image: Image, prompt: Prompt) -> tuple[Embedding, LowResMasks, list[int]]:
        """The decoder's last answer to a prompt, and which masks of it were chosen, the first to be refined next."""
        embedding = self.embed(image)
        with metrics.stage("decode"):
            answer = self._steps.refine(image.digest, embedding, prompt)
        return embedding, answer, self._choose(embedding, answer, prompt)

    def _choose(self, embedding: Embedding, answer: LowResMasks, prompt: Prompt) -> list[int]:
        return masks.choose(self.info, embedding, answer, prompt, self._settings.choose)
