"""The hall: the only file that knows the order of the stages. Image → embedding (cache) → decoder → masks."""

import threading
from pathlib import Path

from sam_backend import metrics
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.single_flight import SingleFlight
from sam_backend.sam import decoder, encoder, masks
from sam_backend.sam.folder import ModelInfo, read_info
from sam_backend.sam.model import CompiledSam, check_device, compile_model
from sam_backend.sam.types import Embedding, Image, Mask, Prompt
from sam_backend.settings import BUILTIN_MODEL, Settings

EmbeddingKey = tuple[str, str]


class Segmenter:
    """Answers prompts on images with one model. Threads share it.

    Making one reads and checks the model folder, which is quick; the model is compiled on first use or by `load`.

    Raises:
        ModelFolderError: the model folder is missing, broken, or made of two halves.
        SettingError: there is no such device.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.info: ModelInfo = read_info(model_folder(settings))
        check_device(settings.device)
        self._compiled: CompiledSam | None = None
        self._compiling = threading.Lock()
        self._embeddings: MemoryCache[EmbeddingKey, Embedding] = MemoryCache(settings.memory_cache)
        self._flights: SingleFlight[EmbeddingKey, Embedding] = SingleFlight()

    @property
    def model_version(self) -> str:
        """Model, the checkpoint's hash and the precision: equal versions give equal answers."""
        weights = self.info.checkpoint_sha256[:8]
        stored = "" if self.info.precision == "f32" else f"-{self.info.precision}"
        return f"{self.info.model_id}-{weights}{stored}-{self._settings.precision}"

    @property
    def loaded(self) -> bool:
        """Whether the model is compiled."""
        return self._compiled is not None

    def load(self) -> CompiledSam:
        """Compile the model, once; a failure is raised to each caller, and the next one tries again.

        Raises:
            ModelError: OpenVINO refused.
        """
        with self._compiling:
            if self._compiled is None:
                settings = self._settings
                self._compiled = compile_model(
                    self.info, settings.device, settings.precision, settings.inference_threads
                )
            return self._compiled

    def embed(self, image: Image) -> Embedding:
        """The image's embedding: from the cache, or computed once however many ask."""
        key = (image.digest, self.model_version)
        embedding = self._embeddings.get(key)
        metrics.count_cache(hit=embedding is not None)
        if embedding is not None:
            return embedding
        return self._flights.do(key, lambda: self._encode(key, image))

    def _encode(self, key: EmbeddingKey, image: Image) -> Embedding:
        # Between this caller's miss and its flight another flight may have landed: look once more.
        embedding = self._embeddings.get(key)
        if embedding is None:
            model = self.load()
            with metrics.stage("encode"):
                embedding = encoder.encode(model, image, self.model_version)
            metrics.count_encode()
            self._embeddings.put(key, embedding)
        return embedding

    def segment(self, image: Image, prompt: Prompt) -> list[Mask]:
        """Answer one prompt.

        Returns:
            One mask at the image's original size; none when the prompt points at nothing (no box and no positive point)
            or the mask is empty.

        Raises:
            PromptError: the prompt has no meaning on this image.
            ModelError: OpenVINO failed.
        """
        if not len(prompt.boxes) and not prompt.point_labels.any():
            return []
        embedding = self.embed(image)
        with metrics.stage("decode"):
            answer = decoder.decode(self.load(), embedding, prompt)
        with metrics.stage("upscale"):
            mask = masks.finish(self.info, embedding, answer, masks.choose(answer, prompt))
        return [mask] if mask.bitmap.any() else []


def model_folder(settings: Settings) -> Path:
    """Where the model of these settings stands: beside this file for the built-in one, else in `SAM_MODEL_DIR`."""
    if settings.model == BUILTIN_MODEL:
        return Path(__file__).parent / BUILTIN_MODEL
    return settings.model_dir / settings.model
