"""Nobody gets the backend to ask where he cannot ask himself: each way in is tried, and what is asked is looked at.

Everything is on loopback, so that nothing leaves where a check fails: other hosts are 127.0.0.2 and its like, or names
that a resolver of our own knows; the process of the tests connects to nothing else (`conftest.py`).
"""

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import requests

from sam_backend.errors import ImageError, ImageTimeoutError, ImageUnavailableError, ImageUrlError
from sam_backend.labelstudio.addresses import Connection
from sam_backend.labelstudio.fetch import Fetcher
from sam_backend.labelstudio.images import Limits
from sam_backend.labelstudio.networks import Networks
from sam_backend.serving.server import create_app
from sam_backend.settings import Settings
from tests.labelstudio.servers import Asked, CloudStudio, LabelStudio, Reply, Server, serving
from tests.support import recordings
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.names import Names
from tests.support.service import running

IMAGE = b"the image's bytes"
LIMITS = Limits(max_bytes=20_000, max_pixels=10**6, timeout=10)
NOBODY = Connection()
METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
LOCALHOST = "127.0.0.1"
FOREIGN = "127.0.0.2"
"""A host that images may come from in these tests; 127.0.0.1 and 127.0.0.3 are not."""


def image(_: Asked) -> Reply:
    return Reply(200, IMAGE)


def redirect(location: str, status: int = 302) -> Any:
    return lambda _: Reply(status, b"elsewhere", {"Location": location})


@pytest.fixture
def fetcher() -> Fetcher:
    """With no setting."""
    return Fetcher(Networks())


@pytest.fixture
def generous() -> Fetcher:
    """Images may come from 127.0.0.2."""
    return Fetcher(Networks((ip_network(FOREIGN),)))


@pytest.fixture
def inner() -> Iterator[Server]:
    """What nobody shall reach: it has an image for everybody who does."""
    with serving(image) as server:
        yield server


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    resolver = Names()
    resolver.install(monkeypatch)
    return resolver


# Addresses in the task


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.0.01",
        "127%2e0.0.1",
        "0",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::1]",
        "[::]",
    ],
)
def test_loopback_is_refused_in_all_spellings(fetcher: Fetcher, inner: Server, names: Names, host: str) -> None:
    names.know("localhost.", [LOCALHOST])  # the system may ask a server on the network
    with pytest.raises(ImageUrlError, match="address is not public") as caught:
        fetcher.fetch(f"http://{host}:{inner.port}/x.png", NOBODY, LIMITS)
    assert "SAM_IMAGE_NETWORKS" in caught.value.remedy
    assert inner.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "ⓛocalhost",
        "\uff10x7f.1",  # noqa: PLE2515, RUF100
        "127.0.0.1%00",
        "127.0.0.1%20",
        "[127.0.0.1]",
        "[::ffff:127.1]",
        "1.1.1.1 &@127.0.0.1",
        "1.1.1.1@127.0.0.1",
        "127.0.0.1\\@1.1.1.1",
        "[::1%25lo]",
    ],
)
def test_spellings_that_parsers_differ_about_reach_nothing(fetcher: Fetcher, inner: Server, host: str) -> None:
    with pytest.raises(ImageError):
        fetcher.fetch(f"http://{host}:{inner.port}/x.png", NOBODY, LIMITS)
    assert inner.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "[fc00::1]",
        "[fe80::1]",
        "[2002:a9fe:a9fe::1]",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_private_and_link_local_addresses_are_refused_in_all_spellings(fetcher: Fetcher, host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ImageUrlError, match="address is not public"):
            fetcher.fetch(f"{scheme}://{host}/x.png", NOBODY, LIMITS)


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "dict", "ldap", "jar", "unix", "HTTP+UNIX", "javascript"])
def test_other_schemes_are_refused(fetcher: Fetcher, inner: Server, tmp_path: Path, scheme: str) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(IMAGE)
    targets = [f"{scheme}://{secret}", f"{scheme}:{secret}", f"{scheme}://{LOCALHOST}:{inner.port}/x"]
    for target in targets:
        with pytest.raises(ImageUrlError, match="not fetched from"):
            fetcher.fetch(target, NOBODY, LIMITS)
        with serving(redirect(target)) as studio, pytest.raises(ImageUrlError):
            fetcher.fetch("/x.png", Connection(studio.url), LIMITS)
    assert inner.asked == []


@pytest.mark.parametrize("is_link", [False, True])
def test_no_path_opens_a_file_here(fetcher: Fetcher, tmp_path: Path, is_link: object) -> None:
    """Each is Label Studio's to answer, with its own root and its own look at links; `..` does not leave its origin."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    if is_link:
        secret = tmp_path / "link.png"
        secret.symlink_to(tmp_path / "secret.png")
    paths = [str(secret), f"/data/upload/../../..{secret}", f"/data/local-files/?d=../..{secret}", "/data/%2e%2e/x"]
    with serving(lambda _: Reply(200, b"of Label Studio")) as studio:
        for path in paths:
            assert fetcher.fetch(path, Connection(studio.url), LIMITS) == b"of Label Studio"
    assert len(studio.asked) == len(paths)


@pytest.mark.parametrize("path", ["secret.png", "../secret.png", "./secret.png", "~/secret.png", "C:\\secret.png", ""])
def test_what_is_neither_an_address_nor_label_studios_path_is_refused(
    fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (tmp_path / "secret.png").write_bytes(IMAGE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageUrlError):
        fetcher.fetch(path, Connection("http://127.0.0.1:9"), LIMITS)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_the_metadata_service_is_refused(fetcher: Fetcher, status: int) -> None:
    """Label Studio's own included: it redirects to whatever a storage's settings name."""
    with serving(redirect(METADATA, status)) as studio:
        with pytest.raises(ImageUrlError, match=r"169\.254\.169\.254") as caught:
            fetcher.fetch("/data/upload/1/a.png", Connection(studio.url, TOKEN), LIMITS)
        assert "Add 169.254.169.254/32 to SAM_IMAGE_NETWORKS" in caught.value.remedy
        with pytest.raises(ImageUrlError, match=r"169\.254\.169\.254"):
            fetcher.fetch("/a.png", Connection(setup_hostname=studio.url, setup_token=TOKEN), LIMITS)
    assert len(studio.asked) == 2


@pytest.mark.parametrize(
    "location", ["//{}/x.png", "///{}/x.png", "http:{}/x.png", "\\\\{}/x.png", "http://a@{}/x.png"]
)
def test_no_spelling_of_a_redirect_leads_inside(generous: Fetcher, inner: Server, location: str) -> None:
    target = location.format(f"{LOCALHOST}:{inner.port}")
    with serving(redirect(target), FOREIGN) as foreign, pytest.raises(ImageError):
        generous.fetch(f"{foreign.url}/x.png", NOBODY, LIMITS)
    assert inner.asked == []


def test_a_chain_of_redirects_is_looked_at_hop_by_hop(generous: Fetcher, inner: Server) -> None:
    with (
        serving(redirect(f"{inner.url}/x.png")) as last,
        serving(redirect(f"{last.url}/x.png"), FOREIGN) as second,
        serving(redirect(f"{second.url}/x.png")) as studio,
        pytest.raises(ImageUrlError, match=r"127\.0\.0\.1"),
    ):
        generous.fetch("/x.png", Connection(studio.url, TOKEN), LIMITS)
    assert (studio.authorizations, second.authorizations) == ([f"Token {TOKEN}"], [""])
    assert last.asked == inner.asked == []


def test_a_signed_address_in_a_private_network_needs_the_setting() -> None:
    """MinIO beside Label Studio, for one."""
    uri = "s3://bucket/a.png"
    studio = CloudStudio(TOKEN, {uri: IMAGE})
    with serving(studio.store, FOREIGN) as store, serving(studio.answer) as server:
        studio.signed = store.url
        with pytest.raises(ImageUrlError, match=r"127\.0\.0\.2") as caught:
            Fetcher(Networks()).fetch(uri, Connection(server.url, TOKEN), LIMITS, 7)
        assert store.asked == []
        assert "Signature" not in str(caught.value)
        assert caught.value.remedy.startswith("Add 127.0.0.2/32 to SAM_IMAGE_NETWORKS")
        networks = Networks((ip_network("127.0.0.2/32"),))
        assert Fetcher(networks).fetch(uri, Connection(server.url, TOKEN), LIMITS, 7) == IMAGE
    assert store.authorizations == [""]


def test_a_signed_address_at_label_studios_own_origin_needs_no_setting(fetcher: Fetcher) -> None:
    uri = "s3://bucket/a.png"
    studio = CloudStudio(TOKEN, {uri: IMAGE})

    def answer(asked: Asked) -> Reply:
        return studio.answer(asked) if asked.path.startswith("/tasks/") else studio.store(asked)

    with serving(answer) as server:
        studio.signed = server.url
        assert fetcher.fetch(uri, Connection(server.url, TOKEN), LIMITS, 7) == IMAGE
    assert server.authorizations == [f"Token {TOKEN}", ""]


# Names


def test_a_name_is_looked_up_once_and_what_was_seen_is_connected_to(
    generous: Fetcher, inner: Server, names: Names
) -> None:
    """A name that has another address at the second look gains nothing: there is none."""
    names.know("pictures.example", [FOREIGN], [LOCALHOST])
    with serving(image, FOREIGN, inner.port) as foreign:
        url = f"http://pictures.example:{inner.port}/x.png"
        assert generous.fetch(url, NOBODY, LIMITS) == IMAGE
        assert names.asked == ["pictures.example"]
    assert foreign.asked[0].headers["host"] == f"pictures.example:{inner.port}"
    assert inner.asked == []


def test_a_name_is_looked_at_again_for_each_new_connection(generous: Fetcher, inner: Server, names: Names) -> None:
    names.know("pictures.example", [FOREIGN], [LOCALHOST])
    url = f"http://pictures.example:{inner.port}/x.png"
    with serving(lambda _: Reply(200, IMAGE, has_length=False), FOREIGN, inner.port):
        assert generous.fetch(url, NOBODY, LIMITS) == IMAGE
        with pytest.raises(ImageUrlError, match=r"pictures\.example \(127\.0\.0\.1\)"):
            generous.fetch(url, NOBODY, LIMITS)
    assert inner.asked == []


def test_rebinding_from_a_public_address_reaches_nothing_inside(fetcher: Fetcher, inner: Server, names: Names) -> None:
    names.know("rebind.example", ["93.184.216.34"], [LOCALHOST])
    url = f"http://rebind.example:{inner.port}/x.png"
    with pytest.raises(ImageUnavailableError, match=r"not 93\.184\.216\.34"):  # the tests' own guard
        fetcher.fetch(url, NOBODY, LIMITS)
    with pytest.raises(ImageUrlError, match=r"rebind\.example \(127\.0\.0\.1\)"):
        fetcher.fetch(url, NOBODY, LIMITS)
    assert inner.asked == []


@pytest.mark.parametrize("addresses", [[LOCALHOST, FOREIGN], [FOREIGN, LOCALHOST], ["10.0.0.1", "::1", FOREIGN]])
def test_of_several_addresses_those_inside_are_left_out(
    generous: Fetcher, inner: Server, names: Names, addresses: list[str]
) -> None:
    names.know("both.example", addresses)
    url = f"http://both.example:{inner.port}/x.png"
    with serving(lambda _: Reply(200, IMAGE, has_length=False), FOREIGN, inner.port):
        assert generous.fetch(url, NOBODY, LIMITS) == IMAGE
    with pytest.raises(ImageUnavailableError, match="refused"):  # nor where the other is gone
        generous.fetch(url, NOBODY, LIMITS)
    assert inner.asked == []


def test_the_next_address_is_tried_where_one_does_not_answer(names: Names) -> None:
    names.know("two.example", ["127.0.0.3", FOREIGN])
    with serving(image, FOREIGN) as server:
        networks = Networks((ip_network("127.0.0.2/31"),))
        assert Fetcher(networks).fetch(f"http://two.example:{server.port}/x.png", NOBODY, LIMITS) == IMAGE


def test_many_addresses_that_do_not_answer_share_one_deadline(names: Names) -> None:
    """Else a name could hold a thread for as long as it likes."""
    addresses = [f"127.0.0.{number}" for number in range(8, 16)]
    names.know("slow.example", addresses)
    fetcher = Fetcher(Networks((ip_network("127.0.0.8/29"),)))
    hasty = Limits(max_bytes=20_000, max_pixels=10**6, timeout=0.5)
    with contextlib.ExitStack() as stack:
        port = 0
        for address in addresses:
            listener = stack.enter_context(socket.create_server((address, port), backlog=0))
            port = listener.getsockname()[1]
            for _ in range(4):  # the queue is full: further connections get no answer
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex((address, port))
        began = time.monotonic()
        with pytest.raises(ImageTimeoutError):
            fetcher.fetch(f"http://slow.example:{port}/x.png", NOBODY, hasty)
        assert time.monotonic() - began < len(addresses) * hasty.timeout / 2


@pytest.mark.parametrize("name", ["internal.example", "localhost.example", "127.0.0.1.nip.example"])
def test_a_public_name_of_a_private_address_is_refused(fetcher: Fetcher, names: Names, name: str) -> None:
    names.know(name, ["10.1.2.3"])
    with pytest.raises(ImageUrlError) as caught:
        fetcher.fetch(f"http://{name}/x.png", NOBODY, LIMITS)
    assert caught.value.message == f"Images are not fetched from {name} (10.1.2.3): the address is not public."
    assert caught.value.remedy.startswith("Add 10.1.2.3/32 to SAM_IMAGE_NETWORKS")


# TLS


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server that is pictures.example, which this process believes."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl, which makes the certificate")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    make = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout {key} -out {certificate}"
    subprocess.run(
        [*make.split(), "-addext", "subjectAltName=DNS:pictures.example"], check=True, capture_output=True, timeout=60
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_certificate_is_asked_of_the_name_although_an_address_is_connected_to(
    generous: Fetcher, names: Names, certified: ssl.SSLContext
) -> None:
    asked: list[str] = []
    certified.sni_callback = lambda _, name, __: asked.append(name)
    names.know("pictures.example", [FOREIGN])
    names.know("others.example", [FOREIGN])
    with serving(image, FOREIGN, tls=certified) as server:
        assert generous.fetch(f"https://pictures.example:{server.port}/x.png", NOBODY, LIMITS) == IMAGE
        for wrong in ("others.example", FOREIGN):
            with pytest.raises(ImageUnavailableError, match="certificate verify failed"):
                generous.fetch(f"https://{wrong}:{server.port}/x.png", NOBODY, LIMITS)
    assert asked == ["pictures.example", "others.example", None]
    assert len(server.asked) == 1


def test_from_https_to_http_the_token_stays_behind_and_the_host_is_a_strangers(
    generous: Fetcher, inner: Server, names: Names, certified: ssl.SSLContext
) -> None:
    """The same name in the clear is another origin: neither its token nor its trust goes along."""
    names.know("pictures.example", [FOREIGN])
    with serving(image, FOREIGN) as plain:
        target = f"http://pictures.example:{plain.port}/x.png"
        with serving(redirect(target), FOREIGN, tls=certified) as studio:
            connection = Connection(f"https://pictures.example:{studio.port}", TOKEN)
            assert generous.fetch("/x.png", connection, LIMITS) == IMAGE
            with pytest.raises(ImageUrlError, match="not public"):
                Fetcher(Networks()).fetch("/x.png", connection, LIMITS)
    assert studio.authorizations == [f"Token {TOKEN}"] * 2
    assert plain.authorizations == [""]


# Tokens


@pytest.mark.parametrize("personal", [False, True])
def test_a_foreign_host_never_gets_the_token(personal: object) -> None:
    """In the task, through a redirect, on another port, on another address, in another spelling of its own."""
    generous = Fetcher(Networks((ip_network("127.0.0.0/8"),)))
    studio = LabelStudio(IMAGE, legacy="" if personal else TOKEN)
    token = studio.personal if personal else TOKEN
    with serving(image) as port, serving(image, FOREIGN) as address:
        targets = [f"{port.url}/x.png", f"{address.url}/x.png"]

        def answer(asked: Asked) -> Reply:
            number = asked.path.rpartition("/")[2]
            if not number.isdecimal() or "authorization" not in asked.headers:
                return studio.answer(asked)
            return Reply(302, b"", {"Location": targets[int(number)]})

        with serving(answer) as server:
            connection = Connection(server.url, token)
            targets += [f"http://2130706433:{port.port}/y", f"http://localhost:{port.port}/z"]
            for number, target in enumerate(targets):
                assert generous.fetch(target, connection, LIMITS) == IMAGE
                assert generous.fetch(f"/{number}", connection, LIMITS) == IMAGE
            with pytest.raises(ImageUnavailableError, match="401"):  # it is this server, and not this origin
                generous.fetch(f"http://localhost:{server.port}/x.png", connection, LIMITS)
    assert len(port.asked) + len(address.asked) == 8
    assert set(port.authorizations + address.authorizations) == {""}
    assert not any(token in str(asked) for asked in (*port.asked, *address.asked))


# Who named the host


def test_label_studio_may_be_anywhere_that_its_setting_says(fetcher: Fetcher, names: Names) -> None:
    """A name of a container's network, for one, and under a personal access token."""
    names.know("label-studio", [LOCALHOST])
    studio = LabelStudio(IMAGE)
    with serving(studio.answer) as server:
        connection = Connection(f"http://label-studio:{server.port}", studio.personal)
        assert fetcher.fetch("/data/upload/1/a.png", connection, LIMITS) == IMAGE
        # The connections that are kept are no way in for whoever names the same host in another way.
        with pytest.raises(ImageUrlError):
            fetcher.fetch(f"http://label-studio:{server.port}/a.png", NOBODY, LIMITS)
        with pytest.raises(ImageUrlError):
            fetcher.fetch(f"http://localhost:{server.port}/a.png", connection, LIMITS)
    assert len(server.asked) == 2


@pytest.mark.parametrize("host", ["localhost", LOCALHOST])
def test_on_a_laptop_setup_names_label_studio(fetcher: Fetcher, host: str) -> None:
    with serving(LabelStudio(IMAGE, legacy=TOKEN).answer) as server:
        connection = Connection(setup_hostname=f"http://{host}:{server.port}", setup_token=TOKEN)
        assert fetcher.fetch("/data/upload/1/a.png", connection, LIMITS) == IMAGE


@pytest.mark.parametrize("hostname", ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://metadata.example"])
def test_setup_never_names_a_metadata_service(fetcher: Fetcher, names: Names, hostname: str) -> None:
    names.know("metadata.example", ["169.254.169.254"])
    with pytest.raises(ImageUrlError, match="not public") as caught:
        fetcher.fetch("/latest/meta-data", Connection(setup_hostname=hostname, setup_token="x"), LIMITS)
    assert "LABEL_STUDIO_URL" in caught.value.remedy


def test_setup_names_no_other_host_inside_where_the_operator_named_label_studio(
    fetcher: Fetcher, inner: Server
) -> None:
    connection = Connection("http://127.0.0.1:9", TOKEN, inner.url, "setup's")
    with pytest.raises(ImageUrlError, match="not public"):
        fetcher.fetch(f"{inner.url}/x.png", connection, LIMITS)
    assert inner.asked == []


def test_setup_names_no_host_inside_where_anybody_can_send_it(inner: Server) -> None:
    strangers = Fetcher(Networks(knows_setup=False))
    for token in ("", "x", LabelStudio(IMAGE).personal):
        with pytest.raises(ImageUrlError, match="not public") as caught:
            strangers.fetch("/x.png", Connection(setup_hostname=inner.url, setup_token=token), LIMITS)
        assert "set LABEL_STUDIO_URL" in caught.value.remedy
    assert inner.asked == []


# Proxies


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A proxy on loopback, which the environment names; it answers for all hosts."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(image) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, server.url)
        yield server


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "localhost", "x.localhost.", "2130706433", "[::1]"])
def test_an_address_is_refused_before_a_proxy_is_asked(fetcher: Fetcher, proxy: Server, host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ImageUrlError, match="not public"):
            fetcher.fetch(f"{scheme}://{host}/x.png", NOBODY, LIMITS)
    assert proxy.asked == []


def test_a_proxy_inside_is_the_operators_and_resolves_names_itself(
    fetcher: Fetcher, proxy: Server, names: Names
) -> None:
    names.know("pictures.example", ["10.0.0.1"])
    assert fetcher.fetch("http://pictures.example/x.png", NOBODY, LIMITS) == IMAGE
    assert [asked.path for asked in proxy.asked] == ["http://pictures.example/x.png"]
    assert names.asked == []


# The whole service


@pytest.fixture
def host() -> Iterator[ImageHost]:
    """Label Studio, with redirects that lead elsewhere."""
    with image_host() as running_host:
        recordings.serve(running_host)
        yield running_host


def click_on(address: str) -> dict[str, Any]:
    return recordings.ask(address, (800, 1200), recordings.keypoint(35, 40))


def test_the_service_refuses_by_name_and_label_studio_needs_no_setting(host: ImageHost, tmp_path: Path) -> None:
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with serving(image, FOREIGN) as inner, running(tmp_path, **settings) as service:
        host.put("/data/upload/1/away.png", b"", status=302, headers={"Location": f"{inner.url}/secret"})
        for address in (f"{inner.url}/x.png", "/data/upload/1/away.png", "file:///etc/passwd"):
            response = requests.post(f"{service.url}/predict", json=click_on(address), timeout=60)
            assert response.status_code == 400, response.text
            document = response.json()
            assert document["error"] == "ImageUrlError"
            assert document["remedy"]
        assert len(recordings.answered(recordings.read("A1_keypoint_positive__predict").send(service.url))) == 1
        assert "Traceback" not in service.log()
    assert inner.asked == []


def test_the_setting_opens_what_it_names(host: ImageHost, tmp_path: Path) -> None:
    picture = host.replies["/data/upload/1/176057e3-plain_1200x800.png"].body
    settings = {"LABEL_STUDIO_URL": host.url, "SAM_IMAGE_NETWORKS": f"10.0.0.0/8,{FOREIGN}"}
    with serving(lambda _: Reply(200, picture), FOREIGN) as storage, running(tmp_path, **settings) as service:
        response = requests.post(f"{service.url}/predict", json=click_on(f"{storage.url}/x.png"), timeout=60)
        assert len(recordings.answered(response)) == 1
    assert len(storage.asked) == 1


@pytest.mark.parametrize(("settings", "status"), [({}, 200), ({"host": "0.0.0.0"}, 400)])
def test_an_open_port_takes_no_address_inside_from_setup(host: ImageHost, settings: Any, status: int) -> None:
    """Nobody is asked who he is there; on a laptop, and with a password, `/setup` is enough."""
    app = create_app(Settings(**settings))
    try:
        setup, click = (recordings.read(name).body for name in ("S1_connect__setup", "A1_keypoint_positive__predict"))
        assert setup
        assert click
        setup |= {"hostname": host.url, "access_token": TOKEN}
        with app.test_client() as client:
            assert client.post("/setup", json=setup).status_code == 200
            response = client.post("/predict", json=click | {"project": setup["project"]})
        assert response.status_code == status, response.text
        assert bool(host.requests) == (status == 200)
        if status == 400:
            assert b"ImageUrlError" in response.data
            assert b"LABEL_STUDIO_URL" in response.data
    finally:
        app.extensions["sam_backend"].close()
