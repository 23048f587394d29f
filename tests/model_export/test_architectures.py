"""The registry names real files, and its models build where torchvision is missing or broken."""

import subprocess
import sys
from pathlib import Path

import pytest

from model_export.architectures import Download, find
from model_export.errors import UnknownModelError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "file", "size", "sha256"),
    [
        (
            "vit_b",
            "sam_vit_b_01ec64.pth",
            375042383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        (
            "vit_l",
            "sam_vit_l_0b3195.pth",
            1249524607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        (
            "vit_h",
            "sam_vit_h_4b8939.pth",
            2564550879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    ],
)
def test_the_published_checkpoints_are_those_of_segment_anything(name: str, file: str, size: int, sha256: str) -> None:
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{file}"
    assert find(name).weights == Download(url, size, sha256)


def test_the_built_in_models_checkpoint_lies_in_the_package() -> None:
    assert find("builtin").weights == ROOT / "model_export" / "builtin" / "builtin.pt"


def test_an_unknown_model_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(UnknownModelError, match=r"'vit_x'.*vit_b, vit_l, vit_h, builtin"):
        find("vit_x")


BUILD = """
import sys
sys.modules["torchvision"] = None
from model_export.architectures import find
import torch
with torch.device("meta"):
    sams = [find(name).build() for name in ("vit_b", "vit_l", "vit_h", "builtin")]
print([sum(p.numel() for p in sam.parameters()) // 1_000_000 for sam in sams[:3]], any(sam.training for sam in sams))
"""


def test_models_build_without_torchvision() -> None:
    result = subprocess.run([sys.executable, "-c", BUILD], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[93, 312, 641] False", result.stderr


def test_a_segment_anything_that_was_imported_in_full_is_left_alone() -> None:
    code = """
import sys, types
whole = sys.modules["segment_anything"] = types.ModuleType("segment_anything")
from model_export.without_torchvision import import_segment_anything
import_segment_anything()
assert sys.modules["segment_anything"] is whole
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
