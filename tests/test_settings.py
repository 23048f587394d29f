"""A wrong setting stops the start and says which one it is."""

from pathlib import Path

import pytest

from sam_backend import settings
from sam_backend.errors import SettingError


def test_defaults_need_no_environment() -> None:
    defaults = settings.load({})
    assert (defaults.model, defaults.port, defaults.host) == ("builtin", 9090, "127.0.0.1")


def test_empty_variables_count_as_unset() -> None:
    assert settings.load({"PORT": "", "LABEL_STUDIO_URL": ""}) == settings.load({})


def test_sizes_take_units() -> None:
    assert settings.load({"SAM_MEMORY_CACHE": "2GiB"}).memory_cache == 2 * 1024**3
    assert settings.load({"SAM_DISK_CACHE": "500MB"}).disk_cache == 500 * 1000**2


def test_without_a_folder_nothing_is_kept_on_disk(tmp_path: Path) -> None:
    assert settings.load({}).cache_dir is None
    assert settings.load({"SAM_CACHE_DIR": ""}).cache_dir is None
    assert settings.load({"SAM_CACHE_DIR": str(tmp_path)}).cache_dir == tmp_path


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"PORT": "99999"}, "PORT = '99999'"),
        ({"PORT": "http"}, "PORT = 'http'"),
        ({"SAM_PRECISION": "f8"}, "SAM_PRECISION"),
        ({"SAM_MEMORY_CACHE": "0"}, "SAM_MEMORY_CACHE"),
        ({"SAM_DISK_CACHE": "0"}, "SAM_DISK_CACHE"),
        ({"SAM_DISK_CACHE": "much"}, "SAM_DISK_CACHE = 'much'"),
        ({"SAM_IMAGE_TIMEOUT": "nan"}, "SAM_IMAGE_TIMEOUT"),
        ({"SAM_MODEL": "../elsewhere"}, "SAM_MODEL"),
        ({"LABEL_STUDIO_URL": "ftp://labels"}, "LABEL_STUDIO_URL"),
        (
            {"SAM_IMAGE_NETWORKS": "10.0.0.0/8,10.1.2.3/16"},
            "SAM_IMAGE_NETWORKS = '10.0.0.0/8,10.1.2.3/16': 10.1.2.3/16",
        ),
        ({"SAM_IMAGE_NETWORKS": "minio"}, "SAM_IMAGE_NETWORKS = 'minio'"),
        ({"BASIC_AUTH_USER": "ann"}, "BASIC_AUTH_PASS"),
        ({"LABEL_STUDIO_API_KEY": "tell-nobody"}, "LABEL_STUDIO_URL"),
        ({"SAM_MODLE": "vit_b"}, "Did you mean SAM_MODEL?"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError) as caught:
        settings.load(environ)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_secrets_are_never_shown() -> None:
    environ = {"LABEL_STUDIO_URL": "http://ls", "LABEL_STUDIO_API_KEY": "tell-nobody"}
    assert "tell-nobody" not in repr(settings.load(environ))
    with pytest.raises(SettingError) as caught:
        settings.load({"LABEL_STUDIO_API_KEY": "tell-nobody"})
    assert "tell-nobody" not in str(caught.value)
