"""The label config of who has none yet: one label, masks by brush, clicks to correct them."""

from xml.sax.saxutils import quoteattr

LABEL = "Object"


def default_config(label: str = "") -> str:
    """The XML.

    Args:
        label: the label; empty: `LABEL`.
    """
    value = quoteattr(label or LABEL)
    return f"""<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image">
    <Label value={value}/>
  </BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true">
    <Label value={value}/>
  </KeyPointLabels>
</View>
"""
