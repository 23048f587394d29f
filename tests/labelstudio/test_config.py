"""A label config says which images, prompts and answers belong together; what is missing is named."""

import pytest

from sam_backend.errors import LabelConfigError
from sam_backend.labelstudio import config
from sam_backend.labelstudio.config import Control, ImageTag, Label, LabelConfig
from tests.support import recordings

FULL = """
<View>
  <Header value="Choose"/>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="brush" toName="image"><Label value="Airplane" hotkey="1"/><Label value="Car"/></BrushLabels>
  <KeyPointLabels name="keypoint" toName="image" smart="true">
    <Label value="Airplane"/><Label value="Car"/>
  </KeyPointLabels>
  <RectangleLabels name="rectangle" toName="image" smart="true"><Label value="Airplane"/></RectangleLabels>
  <PolygonLabels name="poly" toName="image"><Label value="Airplane"/></PolygonLabels>
</View>
"""
IMAGE = '<Image name="image" value="$image"/>'
BRUSH = '<BrushLabels name="brush" toName="image"><Label value="A"/></BrushLabels>'
POINTS = '<KeyPointLabels name="points" toName="image"><Label value="A"/></KeyPointLabels>'


def parse(*tags: str) -> LabelConfig:
    return config.parse(f"<View>{''.join(tags)}</View>")


def test_a_full_config() -> None:
    both = (Label("Airplane"), Label("Car"))
    assert config.parse(FULL) == LabelConfig(
        images=(ImageTag("image", "$image", is_list=False),),
        answers=(
            Control("brush", "image", "brushlabels", both),
            Control("rectangle", "image", "rectanglelabels", both[:1]),
            Control("poly", "image", "polygonlabels", both[:1]),
        ),
        prompts=(
            Control("keypoint", "image", "keypointlabels", both),
            Control("rectangle", "image", "rectanglelabels", both[:1]),
        ),
    )


@pytest.mark.parametrize("name", [name for name in recordings.names() if "setup" in name])
def test_every_recorded_setup_is_read(name: str) -> None:
    body = recordings.read(name).body
    assert body is not None
    found = config.parse(body["schema"])
    assert [answer.name for answer in found.answers] == ["brush", "rectangle"]
    assert [prompt.name for prompt in found.prompts] == ["keypoint", "rectangle"]
    assert found.images == (
        ImageTag("image", "$images" if "valueList" in body["schema"] else "$image", "valueList" in body["schema"]),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        (None, "empty"),
        ("not xml", "not XML"),
        ("<View><Image name='image'", "not XML"),
        ("<View/>", "<Image>"),
        (f"<View>{BRUSH}{POINTS}</View>", "<Image>"),
        (f"<View><Image name='image'/>{BRUSH}{POINTS}</View>", "<Image>"),
        (f"<View><Image value='$image'/>{BRUSH}{POINTS}</View>", "<Image>"),
        (f"<View>{IMAGE}{POINTS}</View>", "control for masks"),
        (f"<View>{IMAGE}{POINTS}<VectorLabels name='v' toName='image'/></View>", "control for masks"),
        (f"<View>{IMAGE}{POINTS}<Labels name='l' toName='image'/></View>", "control for masks"),
        (f"<View>{IMAGE}{POINTS}<BrushLabels name='b' toName='other'/></View>", "control for masks"),
        (f"<View>{IMAGE}{BRUSH}</View>", "no prompt"),
        (f"<View>{IMAGE}{BRUSH}<KeyPointLabels name='k'/></View>", "no prompt"),
        (
            f"<View>{IMAGE}{BRUSH}<Image name='two' value='$two'/><KeyPoint name='k' toName='two'/></View>",
            "different images",
        ),
        ("<View>" + "x" * config.MAX_CHARACTERS + "</View>", "characters"),
    ],
)
def test_what_is_missing_is_named(text: str | None, named: str) -> None:
    with pytest.raises(LabelConfigError, match=named) as caught:
        config.parse(text)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    "doctype",
    [
        f'<!DOCTYPE x [<!ENTITY l0 "lol">{LAUGHS}]>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:1/x.dtd"> %e;]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
    ],
    ids=["laughs", "file", "parameter", "dtd"],
)
def test_document_types_and_entities_are_refused(doctype: str) -> None:
    text = f"{doctype}<View>{IMAGE}{BRUSH}{POINTS}<Header value='&l9;&e;'/></View>"
    with pytest.raises(LabelConfigError, match="not XML that we read"):
        config.parse(text)


def test_a_deep_tree_is_read() -> None:
    depth = 100_000
    found = config.parse("<View>" * depth + IMAGE + BRUSH + POINTS + "</View>" * depth)
    assert len(found.prompts) == 1


def test_tags_and_attributes_are_not_case_sensitive_and_may_be_nested() -> None:
    found = parse(
        '<View><IMAGE NAME="i" VALUELIST="$pages"/></View>',
        '<Collapse><brushlabels Name="b" ToName="i"><View><label Value="A" ALIAS="a"/></View></brushlabels></Collapse>',
        '<View><KeyPoint name="k" toname=" i "/></View>',
    )
    assert found.images == (ImageTag("i", "$pages", is_list=True),)
    assert found.answers == (Control("b", "i", "brushlabels", (Label("A", "a"),)),)
    assert found.prompts == (Control("k", "i", "keypoint"),)


def test_two_images_each_have_their_own_controls() -> None:
    found = parse(
        '<Image name="left" value="$l"/><Image name="right" value="$r"/><Image name="shown" value="$s"/>',
        '<BrushLabels name="bl" toName="left"/><BrushLabels name="br" toName="right"/>',
        '<KeyPointLabels name="kl" toName="left"/><RectangleLabels name="rr" toName="right"/>',
    )
    assert [image.name for image in found.images] == ["left", "right"]
    assert found.image_for("right").value == "$r"
    assert [answer.name for answer in found.answers_for("left")] == ["bl"]
    assert [answer.name for answer in found.answers_for("right")] == ["br", "rr"]
    with pytest.raises(LabelConfigError, match="'shown'"):
        found.image_for("shown")


def test_one_control_may_serve_several_images() -> None:
    found = parse(
        '<Image name="a" value="$a"/><Image name="b" value="$b"/>',
        '<BrushLabels name="brush" toName="a,b"/><KeyPointLabels name="points" toName="a, b"/>',
    )
    assert [(answer.name, answer.to_name) for answer in found.answers] == [("brush", "a"), ("brush", "b")]
    assert found.prompt_control("points", "b", "keypointlabels") == Control("points", "b", "keypointlabels")


@pytest.mark.parametrize("answer", ["Brush", "Bitmask", "Polygon", "Ellipse", "Rectangle"])
@pytest.mark.parametrize("suffix", ["", "Labels"])
def test_every_shape_that_holds_an_object_is_an_answer(answer: str, suffix: str) -> None:
    found = parse(IMAGE, POINTS, f'<{answer}{suffix} name="answer" toName="image"/>')
    [control] = found.answers
    assert (control.answer, control.has_labels) == (answer.lower(), False)


def test_a_lone_rectangle_control_asks_and_answers() -> None:
    found = parse(IMAGE, '<RectangleLabels name="boxes" toName="image"><Label value="A"/></RectangleLabels>')
    assert found.answers == found.prompts == (Control("boxes", "image", "rectanglelabels", (Label("A"),)),)


def test_what_may_be_added_is_named() -> None:
    with pytest.raises(LabelConfigError) as caught:
        parse(IMAGE, POINTS)
    for tag in ("<BrushLabels>", "<BitmaskLabels>", "<PolygonLabels>", "<EllipseLabels>", "<RectangleLabels>"):
        assert tag in caught.value.remedy


def test_labels_of_their_own_control_are_kept_for_served_images() -> None:
    labels = '<Labels name="l" toName="image,other"><Label value="A"/></Labels>'
    found = parse(IMAGE, '<Image name="other" value="$o"/>', '<Brush name="b" toName="image"/>', POINTS, labels)
    assert found.labels == (Control("l", "image", "labels", (Label("A"),)),)


def test_a_control_is_smart_unless_it_says_no() -> None:
    tags = [f'<Rectangle name="r" toName="image" {smart}/>' for smart in ("", 'smart="true"', 'SMART="False"')]
    assert [control.smart for control in parse(IMAGE, BRUSH, *tags).prompts] == [True, True, False]


def test_a_brush_with_labels_comes_before_one_without() -> None:
    found = parse(IMAGE, '<Brush name="plain" toName="image"/>', BRUSH, POINTS)
    assert [answer.name for answer in found.answers_for("image")] == ["brush", "plain"]


def test_a_region_of_another_type_or_image_has_no_control() -> None:
    found = parse(IMAGE, BRUSH, POINTS)
    assert found.prompt_control("points", "image", "keypointlabels") is not None
    others: list[tuple[object, object, object]] = [
        ("points", "image", "rectanglelabels"),
        ("points", "other", "keypointlabels"),
        ("brush", "image", "brushlabels"),
        (None, None, None),
        (["points"], {}, 3),
    ]
    for wanted in others:
        assert found.prompt_control(*wanted) is None


def test_labels_from_the_task_are_known_by_their_field() -> None:
    found = parse(IMAGE, '<BrushLabels name="b" toName="image" value="$classes"/>', POINTS)
    assert found.answers[0].labels_from == "classes"


def test_a_label_is_known_by_alias_and_by_value() -> None:
    control = Control("b", "i", "brushlabels", (Label("A", "B"), Label("B")))
    assert control.label("A") == Label("A", "B")
    assert control.label("B") == Label("A", "B")
    assert control.label("C") is None
    assert Label("A", "B").stored == "B"
    assert Label("B").stored == "B"
