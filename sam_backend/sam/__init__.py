"""The model wing: OpenVINO, arrays and geometry. It has never heard of Label Studio."""
