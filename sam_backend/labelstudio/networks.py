"""Which addresses of the network are connected to.

Tasks name the hosts of images, and servers redirect: both may name what only the backend reaches, such as a metadata
service that has the machine's keys. So whoever named a host decides which networks it may be in:

    a task, a redirect   the public internet, and `SAM_IMAGE_NETWORKS`
    `/setup`             those, and loopback and private networks, if it is known who sends `/setup`
    `LABEL_STUDIO_URL`   any

Who sends `/setup` is known where the port is on loopback, or asks for `BASIC_AUTH_USER`.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

from sam_backend.errors import ImageUrlError
from sam_backend.setting_types import Network
from sam_backend.settings import Settings

IpAddress = IPv4Address | IPv6Address


def _all(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


METADATA = _all("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200", "168.63.129.16")
"""Link-local addresses, and where clouds (AWS, Google, Alibaba, Azure) have services that know a machine's secrets."""

NEAR = _all("127.0.0.0/8", "0.0.0.0/32", "::1", "::", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""Where a Label Studio is that no setting names: on this machine or in its network."""

_GLOBAL_IPV6 = ip_network("2000::/3")
_NOT_PUBLIC = (
    *METADATA,
    *NEAR,
    # What else IANA's registries of special-purpose addresses have, and multicast.
    *_all("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15"),
    *_all("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    # Of IPv6 within 2000::/3: tunnels that carry an IPv4 address of any kind (Teredo, 6to4), and documentation.
    *_all("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
_NAT64 = ip_network("64:ff9b::/96")


class NamedBy(Enum):
    """Who named a host."""

    OPERATOR = "LABEL_STUDIO_URL"
    SETUP = "/setup"
    ANYBODY = "a task or a redirect"


@dataclass(frozen=True, slots=True)
class Networks:
    """What the operator says of networks.

    Attributes:
        allowed: those that images may come from beside the public internet.
        knows_setup: it is known who sends `/setup`.
    """

    allowed: tuple[Network, ...] = ()
    knows_setup: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the service."""
        return cls(settings.image_networks, _is_loopback(settings.host) or bool(settings.basic_auth_user))


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets connections to some addresses through."""

    networks: Networks
    named_by: NamedBy

    def admits(self, address: str) -> bool:
        """Whether it may be connected to.

        Args:
            address: of IPv4 or IPv6, as resolvers write it; an IPv4 address within one of IPv6 counts as itself.
        """
        if self.named_by is NamedBy.OPERATOR:
            return True
        meant = _meant(address)
        if _is_public(meant) or _is_in(meant, self.networks.allowed):
            return True
        is_near = _is_in(meant, NEAR) and not _is_in(meant, METADATA)
        return self.named_by is NamedBy.SETUP and self.networks.knows_setup and is_near

    def refusal(self, host: str, address: str) -> ImageUrlError:
        """What to raise where none of a host's addresses is admitted.

        Args:
            host: its name, or its address as it stands in the URL.
            address: one of those that it has.
        """
        meant = _meant(address)
        shown = host if host == str(meant) else f"{host[:200]} ({meant})"
        remedy = f"Add {ip_network(meant)} to SAM_IMAGE_NETWORKS if images may come from there."
        if self.named_by is NamedBy.SETUP:
            remedy = "If that is your Label Studio, set LABEL_STUDIO_URL to it: /setup alone may not name it."
        return ImageUrlError(f"Images are not fetched from {shown}: the address is not public.", remedy)


def _meant(text: str) -> IpAddress:
    """The address that is reached in the end."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or (IPv4Address(address.packed[-4:]) if address in _NAT64 else address)


def _is_public(address: IpAddress) -> bool:
    is_possible = isinstance(address, IPv4Address) or address in _GLOBAL_IPV6
    return is_possible and not _is_in(address, _NOT_PUBLIC)


def _is_in(address: IpAddress, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _is_loopback(host: str) -> bool:
    """A host to listen on that other machines do not reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
