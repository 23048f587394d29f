"""Registry: the models that can be exported, where their weights come from and what builds them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_export.errors import UnknownModelError
from model_export.without_torchvision import import_segment_anything

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

RELEASES = "https://dl.fbaipublicfiles.com/segment_anything"
# Where downloaded checkpoints are kept, unless the command line names another folder.
CACHE = Path.home() / ".cache" / "sam-backend" / "checkpoints"


@dataclass(frozen=True)
class Download:
    """A published checkpoint: its address, its size in bytes and its SHA-256."""

    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Architecture:
    """A model that can be exported.

    Attributes:
        name: what the user types.
        description: one line for `list`.
        build: makes the torch model, on the CPU, in evaluation mode, with freshly initialized weights.
        weights: a published checkpoint, or the path of one that lies in this package.
    """

    name: str
    description: str
    build: Callable[[], "Sam"]
    weights: Download | Path


def _official(name: str) -> Callable[[], "Sam"]:
    def build() -> "Sam":
        import_segment_anything()
        return importlib.import_module("segment_anything.build_sam").sam_model_registry[name]()

    return build


def _builtin() -> "Sam":
    return importlib.import_module("model_export.builtin.network").build_builtin().eval()


_ALL = (
    Architecture(
        "vit_b",
        "Segment Anything, ViT-B: 91 M parameters, the fastest of the three",
        _official("vit_b"),
        Download(
            f"{RELEASES}/sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
    ),
    Architecture(
        "vit_l",
        "Segment Anything, ViT-L: 308 M parameters",
        _official("vit_l"),
        Download(
            f"{RELEASES}/sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
    ),
    Architecture(
        "vit_h",
        "Segment Anything, ViT-H: 636 M parameters, the most accurate",
        _official("vit_h"),
        Download(
            f"{RELEASES}/sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    ),
    Architecture(
        "builtin",
        "the small model of this project; its weights are in this repository",
        _builtin,
        Path(__file__).parent / "builtin" / "builtin.pt",
    ),
)
REGISTRY = {architecture.name: architecture for architecture in _ALL}


def find(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        UnknownModelError: the registry has none.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise UnknownModelError(f"There is no model {name!r}.", f"Choose one of: {', '.join(REGISTRY)}.") from None
