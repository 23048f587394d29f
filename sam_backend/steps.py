"""Prompts decoded step by step, and what was decoded remembered: a further click costs one decode."""

from dataclasses import replace

from sam_backend import metrics
from sam_backend.cache.memory import MemoryCache
from sam_backend.sam import chain, decoder, image_side, masks
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.image_side import ImageSide
from sam_backend.sam.masks import Rule
from sam_backend.sam.model import CompiledSam
from sam_backend.sam.types import Embedding, Prompt
from sam_backend.served_model import ServedModel

_ANSWERS_BUDGET = 128 * 1024**2
_SIDES_BUDGET = 128 * 1024**2


class Steps:
    """Decodes with one model. Threads share it; what is forgotten is decoded again and gives equal bytes.

    Args:
        model: compiled at the first decode.
        rule: which of the masks of a step the next one refines.
        chained: whether each prompt is decoded with the mask of the one before; else all at once.
    """

    def __init__(self, model: ServedModel, rule: Rule, *, chained: bool) -> None:
        self._model = model
        self._rule = rule
        self._chained = chained
        self._answers: MemoryCache[tuple[str, str, bytes], LowResMasks] = MemoryCache(_ANSWERS_BUDGET)
        self._sides: MemoryCache[tuple[str, str], ImageSide] = MemoryCache(_SIDES_BUDGET)

    def refine(self, digest: str, embedding: Embedding, prompt: Prompt) -> LowResMasks:
        """The answer to the last step of a prompt.

        Args:
            digest: the image's.
            embedding: the image's.
            prompt: its points in the order in which they were asked.

        Raises:
            PromptError: the prompt has no meaning on this image.
            ModelError: OpenVINO failed.
        """
        steps = chain.steps(prompt) if self._chained else [prompt]
        for known in reversed(range(len(steps))):
            answer = self._answers.get(self._key(digest, steps[known]))
            if answer is not None:
                break
        else:
            known, answer = 0, self._decoded(digest, embedding, steps[0], steps[0])
        for before, step in zip(steps[known:], steps[known + 1 :], strict=False):
            chosen = masks.choose(self._model.info, embedding, answer, before, self._rule)[0]
            shown = replace(step, mask_input=answer.logits[chosen][None])
            answer = self._decoded(digest, embedding, step, shown)
        return answer

    def decode(self, digest: str, embedding: Embedding, prompt: Prompt) -> LowResMasks:
        """The answer to a prompt with its own `mask_input`. Arguments and errors: see `refine`."""
        return self._answers.get(self._key(digest, prompt)) or self._decoded(digest, embedding, prompt, prompt)

    def _key(self, digest: str, asked: Prompt) -> tuple[str, str, bytes]:
        return digest, self._model.version, chain.key(asked)

    def _decoded(self, digest: str, embedding: Embedding, asked: Prompt, shown: Prompt) -> LowResMasks:
        """The answer to what is shown to the decoder, remembered as that to what was asked."""
        model = self._model.load()
        answer = decoder.decode(model, embedding, shown, self._side(model, digest, embedding))
        metrics.count_decode()
        self._answers.put(self._key(digest, asked), answer)
        return answer

    def _side(self, model: CompiledSam, digest: str, embedding: Embedding) -> ImageSide:
        key = digest, self._model.version
        side = self._sides.get(key)
        if side is None:
            side = image_side.prepare(model, embedding)
            self._sides.put(key, side)
        return side
