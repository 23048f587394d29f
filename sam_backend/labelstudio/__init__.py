"""The platform wing: the only code that knows Label Studio's wire format."""
