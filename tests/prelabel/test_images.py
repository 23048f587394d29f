"""Images of a folder, a pattern or a list become tasks."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sam_backend.errors import JobError
from sam_backend.labelstudio import config
from sam_backend.prelabel.default_config import default_config
from sam_backend.prelabel.images import Field, Images

FIELD = Field("image", is_list=False)


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no image")
    return folder


def addresses(images: Images) -> list[str]:
    return [item.task["data"]["image"] for item in images]


def test_a_folder_is_searched_with_its_folders_for_images_always_in_one_order(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a.png", "deep/er/c.webp", "deep/a.tif", "notes.txt", ".hidden.png", ".thumbs/d.png")
    images = Images(str(tmp_path), FIELD)
    assert [item.key for item in images] == ["a.png", "b.JPG", "deep/a.tif", "deep/er/c.webp"]
    assert len(images) == 4
    assert [item.path for item in images] == [tmp_path / item.key for item in images]


def test_the_address_is_the_path_below_the_folder_as_label_studio_reads_it(tmp_path: Path) -> None:
    name = "r&d 100%/ä+b?.png"
    (address,) = addresses(Images(str(make(tmp_path, name)), FIELD))
    assert address == "/data/local-files/?d=r%26d%20100%25/%C3%A4%2Bb%3F.png"
    assert parse_qs(urlsplit(address).query) == {"d": [name]}


def test_the_address_can_be_relative_to_another_folder_and_have_another_beginning(tmp_path: Path) -> None:
    folder = make(tmp_path, "photos/cats/1.png") / "photos"
    assert addresses(Images(str(folder), FIELD, root=tmp_path)) == ["/data/local-files/?d=photos/cats/1.png"]
    assert addresses(Images(str(folder), FIELD, "https://example.org/")) == ["https://example.org/cats/1.png"]


def test_an_image_outside_of_that_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "photos/1.png", "other/x")
    with pytest.raises(JobError, match=r"photos/1\.png is not below .*other.* --document-root"):
        Images(str(tmp_path / "photos"), FIELD, root=tmp_path / "other")


def test_a_list_leads_to_no_image_outside_by_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path, "photos/1.png", "secret.png") / "photos")
    Path("list.txt").write_text("1.png\n./../photos/1.png\n")
    assert addresses(Images("list.txt", FIELD)) == ["/data/local-files/?d=1.png"] * 2
    for outside in ("../secret.png", "x/../../secret.png", str(tmp_path / "secret.png")):
        Path("list.txt").write_text(f"1.png\n{outside}\n")
        with pytest.raises(JobError, match=r"secret\.png is not below"):
            Images("list.txt", FIELD)


@pytest.mark.parametrize("what", ["photos", "photos/*.png", "photos/2.png", "list.txt"])
def test_a_link_leads_to_no_image_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.chdir(make(tmp_path, "work/photos/1.png", "secret.png") / "work")
    Path("photos/2.png").symlink_to("../../secret.png")
    Path("list.txt").write_text("photos/2.png\n")
    with pytest.raises(JobError, match=r"2\.png leads to .*secret\.png, which is not below .* --document-root"):
        Images(what, FIELD)
    (address,) = [one for one in addresses(Images(what, FIELD, root=tmp_path)) if "2.png" in one]
    assert address == "/data/local-files/?d=work/photos/2.png"


def test_a_linked_folder_leads_to_no_image_outside(tmp_path: Path) -> None:
    make(tmp_path, "photos/1.png", "secrets/2.png", "photos/own/3.png")
    (tmp_path / "photos/away").symlink_to("../secrets")
    (tmp_path / "photos/near").symlink_to("own")
    assert addresses(Images(f"{tmp_path}/photos/near/*.png", FIELD)) == ["/data/local-files/?d=3.png"]
    with pytest.raises(JobError, match=r"away/2\.png leads to .*secrets"):
        Images(f"{tmp_path}/photos/*/*.png", FIELD)


def test_links_within_the_folder_and_to_the_folder_are_fine(tmp_path: Path) -> None:
    make(tmp_path, "store/deep/1.png")
    (tmp_path / "store/2.png").symlink_to("deep/1.png")
    (tmp_path / "photos").symlink_to("store")
    expected = ["/data/local-files/?d=2.png", "/data/local-files/?d=deep/1.png"]
    assert addresses(Images(str(tmp_path / "photos"), FIELD)) == expected


def test_a_pattern_names_images(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/2.jpg", "b/1.png", "b/deep/1.png")
    assert [item.key for item in Images(f"{tmp_path}/*/1.png", FIELD)] == ["a/1.png", "b/1.png"]
    assert [item.key for item in Images(f"{tmp_path}/b/**/*.png", FIELD)] == ["1.png", "deep/1.png"]


def test_an_image_is_a_set_of_one(tmp_path: Path) -> None:
    assert [item.key for item in Images(str(make(tmp_path, "1.png") / "1.png"), FIELD)] == ["1.png"]


def test_a_list_has_paths_and_addresses_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path, "a/1.png"))
    Path("list.txt").write_text("a/1.png\n\nhttps://example.org/x.png?s=1\n/data/upload/1/y.png\na/1.png\n")
    items = list(Images("list.txt", FIELD))
    assert [(item.key, item.path) for item in items] == [
        ("a/1.png", tmp_path / "a/1.png"),
        ("https://example.org/x.png?s=1", None),
        ("/data/upload/1/y.png", None),
    ]
    assert [item.task["data"]["image"] for item in items] == [
        "/data/local-files/?d=a/1.png",
        "https://example.org/x.png?s=1",
        "/data/upload/1/y.png",
    ]


def test_a_name_that_is_no_text_has_a_key_and_an_address(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    (item,) = Images(str(tmp_path), FIELD)
    assert (item.key, item.task["data"]["image"]) == ("\\xff.png", "/data/local-files/?d=%FF.png")
    assert item.path
    assert item.path.exists()


@pytest.mark.parametrize(("what", "said"), [("empty", "no images in"), ("nowhere", "no folder, no list")])
def test_nothing_to_label_is_said(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match=said):
        Images(str(tmp_path / what), FIELD)


def test_the_field_is_the_label_configs() -> None:
    assert Field.of(config.parse(default_config())).data("x") == {"image": "x"}
    listed = default_config().replace('value="$image"', 'valueList="$pages"')
    assert Field.of(config.parse(listed)).data("x") == {"pages": ["x"]}


def test_a_label_config_that_reads_more_than_one_field_is_refused() -> None:
    with pytest.raises(JobError, match=r"\$a\.b.*--tasks"):
        Field.of(config.parse(default_config().replace("$image", "$a.b")))


def test_the_label_of_the_config_without_one_may_be_any_text() -> None:
    (control,) = config.parse(default_config('"R&D" <x>')).answers
    assert [label.value for label in control.labels] == ['"R&D" <x>']
