"""The types of settings: what a variable's text may be, and what becomes of it."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, HttpUrl, TypeAdapter

Network = IPv4Network | IPv6Network


def _at_least_one_byte(value: ByteSize) -> ByteSize:
    if value < 1:
        raise ValueError("must be at least 1 byte")
    return value


def _web_url(value: str) -> str:
    if value:
        TypeAdapter(HttpUrl).validate_python(value)
    return value.rstrip("/")


def _networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(text.strip()) for text in value.split(",") if text.strip())


Bytes = Annotated[ByteSize, AfterValidator(_at_least_one_byte)]
Url = Annotated[str, AfterValidator(_web_url)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
