"""Label Studio ML backend that answers smart clicks and boxes with Segment Anything masks, on ordinary CPUs."""

__version__ = "0.1.0"
