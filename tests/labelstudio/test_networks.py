"""Which addresses are connected to: by who named the host, and by what the operator allows."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_backend import settings
from sam_backend.labelstudio.networks import Gate, NamedBy, Networks

NOBODY_KNOWN = Networks(knows_setup=False)

LOOPBACK = ["127.0.0.1", "127.255.255.254", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.255.255", "fc00::1", "fdff::1", "::ffff:10.1.2.3"]
METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "fe80::1%2",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
]
SPECIAL = [
    "0.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::127.0.0.1",
    "100::1",
    "64:ff9b:1::a01:203",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


def admitted(addresses: list[str], named_by: NamedBy, networks: Networks | None = None) -> list[str]:
    gate = Gate(networks or Networks(), named_by)
    return [address for address in addresses if gate.admits(address)]


def test_the_public_internet_is_open_to_all() -> None:
    for named_by in NamedBy:
        assert admitted(PUBLIC, named_by, NOBODY_KNOWN) == PUBLIC


def test_what_a_task_or_a_redirect_names_has_to_be_public() -> None:
    assert admitted([*LOOPBACK, *PRIVATE, *METADATA, *SPECIAL], NamedBy.ANYBODY) == []


def test_what_setup_names_may_be_near_and_is_no_metadata_service() -> None:
    assert admitted([*LOOPBACK, *PRIVATE], NamedBy.SETUP) == [*LOOPBACK, *PRIVATE]
    assert admitted([*METADATA, *SPECIAL], NamedBy.SETUP) == []


def test_where_anybody_can_send_setup_it_opens_nothing() -> None:
    assert admitted([*LOOPBACK, *PRIVATE, *METADATA, *SPECIAL], NamedBy.SETUP, NOBODY_KNOWN) == []


def test_what_the_operator_names_may_be_anywhere() -> None:
    everything = [*LOOPBACK, *PRIVATE, *METADATA, *SPECIAL]
    assert admitted(everything, NamedBy.OPERATOR, NOBODY_KNOWN) == everything


@pytest.mark.parametrize("named_by", [NamedBy.ANYBODY, NamedBy.SETUP])
def test_networks_that_are_allowed_are_open_in_all_spellings_and_no_others(named_by: NamedBy) -> None:
    allowed = Networks((ip_network("10.1.0.0/16"), ip_network("169.254.7.7")), knows_setup=False)
    inside = ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "169.254.7.7"]
    assert admitted([*inside, "10.2.0.0", "169.254.169.254", "127.0.0.1"], named_by, allowed) == inside


def test_all_of_ipv6_is_not_all_of_ipv4() -> None:
    gate = Gate(Networks((ip_network("::/0"),)), NamedBy.ANYBODY)
    assert gate.admits("fc00::1")
    assert not gate.admits("::ffff:10.0.0.1")


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_that_python_knows_for_another(address: IPv4Address) -> None:
    """Nor within an address of IPv6."""
    number = int(address)
    for text in (str(address), str(IPv6Address(number | 0xFFFF << 32)), str(IPv6Address(number | 0x64FF9B << 96))):
        is_public = address.is_global and not address.is_multicast
        assert Gate(Networks(), NamedBy.ANYBODY).admits(text) <= is_public


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_python_knows_for_another(address: IPv6Address) -> None:
    if not address.ipv4_mapped and address not in ipaddress.ip_network("64:ff9b::/96"):
        is_public = address.is_global and not address.is_multicast and not address.is_reserved
        assert Gate(Networks(), NamedBy.ANYBODY).admits(str(address)) <= is_public


@pytest.mark.parametrize(
    ("environ", "is_known"),
    [
        ({}, True),
        ({"SAM_HOST": "localhost"}, True),
        ({"SAM_HOST": "::1"}, True),
        ({"SAM_HOST": "0.0.0.0"}, False),
        ({"SAM_HOST": "192.168.1.5"}, False),
        ({"SAM_HOST": "backend.example"}, False),
        ({"SAM_HOST": "0.0.0.0", "BASIC_AUTH_USER": "ann", "BASIC_AUTH_PASS": "x"}, True),
    ],
)
def test_who_sends_setup_is_known_on_loopback_and_by_a_password(environ: dict[str, str], is_known: object) -> None:
    assert Networks.of(settings.load(environ)).knows_setup is is_known


def test_the_setting_names_networks_and_addresses() -> None:
    given = settings.load({"SAM_IMAGE_NETWORKS": " 10.1.0.0/16, 192.168.1.5,fc00::/7 ,"})
    assert Networks.of(given).allowed == (
        ip_network("10.1.0.0/16"),
        ip_network("192.168.1.5/32"),
        ip_network("fc00::/7"),
    )


def test_a_refusal_says_what_to_set() -> None:
    error = Gate(Networks(), NamedBy.ANYBODY).refusal("minio.internal", "10.1.2.3")
    assert str(error) == (
        "Images are not fetched from minio.internal (10.1.2.3): the address is not public. "
        "Add 10.1.2.3/32 to SAM_IMAGE_NETWORKS if images may come from there."
    )
    assert settings.load({"SAM_IMAGE_NETWORKS": error.remedy.split()[1]}).image_networks == (ip_network("10.1.2.3"),)
    assert "::1/128" in Gate(Networks(), NamedBy.ANYBODY).refusal("::1", "::1").remedy
    assert "10.1.2.3/32" in Gate(Networks(), NamedBy.ANYBODY).refusal("x", "::ffff:10.1.2.3").remedy
    assert "LABEL_STUDIO_URL" in Gate(Networks(), NamedBy.SETUP).refusal("studio", "10.1.2.3").remedy
