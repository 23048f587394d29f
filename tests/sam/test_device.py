"""Which device and which arithmetic: asked without waking OpenVINO."""

from pathlib import Path

import openvino
import pytest

from sam_backend.errors import SettingError
from sam_backend.sam import device, model
from sam_backend.sam.folder import PARTS
from sam_backend.served_model import model_folder
from sam_backend.settings import Settings

XEON = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile\nbogomips\t: 1\n"
EPYC = "processor\t: 0\nflags\t\t: fpu avx2 fma\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.mark.parametrize(("text", "precision"), [(XEON, "bf16"), (EPYC, "f32"), (ARM, "f32"), ("", "f32")])
def test_a_cpu_computes_in_bf16_where_it_can(
    text: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(device, "_CPU_INFO", path)
    assert device.best_precision("CPU") == precision
    assert device.best_precision("AUTO") == "f32"
    assert device.best_precision("GPU.1") == device.best_precision("NPU") == "f16"


def test_where_nothing_is_known_of_the_cpu_it_computes_in_f32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "nowhere")
    assert device.best_precision("CPU") == "f32"


def test_openvino_itself_would_choose_the_same_for_this_cpu() -> None:
    own = device._asked("print(openvino.Core().get_property('CPU', 'INFERENCE_PRECISION_HINT').to_string())")
    assert device.best_precision("CPU") == own.strip()


def test_an_npu_gets_the_encoder_alone_whose_shapes_are_static() -> None:
    devices = {part: model.device_of(part, "NPU") for part in PARTS}
    assert devices == {"encoder": "NPU", "image": "CPU", "mask": "CPU", "prompts": "CPU", "upscaling": "CPU"}
    folder = model_folder(Settings())
    assert not openvino.Core().read_model(folder / "encoder.xml").is_dynamic()
    assert {model.device_of(part, "GPU.0") for part in PARTS} == {"GPU.0"}


def test_a_device_that_is_not_there_is_refused() -> None:
    device.check_device("CPU")
    device.check_device("AUTO:GPU,CPU")
    with pytest.raises(SettingError, match=r"SAM_DEVICE = 'NPU': OpenVINO sees .*CPU"):
        device.check_device("NPU")
