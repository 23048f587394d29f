"""Where an address leads, and which token may go there: to its own origin alone."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_backend.errors import ImageUrlError
from sam_backend.labelstudio import addresses
from sam_backend.labelstudio.addresses import Connection

OURS = Connection("https://studio.example/label", "environment", "http://localhost:8080", "setup")
SETUP_ONLY = Connection(setup_hostname="http://localhost:8080/", setup_token="setup")


def token(url: str, connection: Connection = OURS) -> str | None:
    credential = addresses.credential_for(url, connection)
    return credential.token if credential else None


@pytest.mark.parametrize(
    ("address", "connection", "resolved"),
    [
        ("/data/upload/1/a.png", OURS, "https://studio.example/label/data/upload/1/a.png"),
        ("/label/data/upload/1/a.png", OURS, "https://studio.example/label/data/upload/1/a.png"),
        ("/data/upload/1/a.png", SETUP_ONLY, "http://localhost:8080/data/upload/1/a.png"),
        ("/data/local-files/?d=a/b c.png", SETUP_ONLY, "http://localhost:8080/data/local-files/?d=a/b%20c.png"),
        ("  /data/upload/1/a.png\n", SETUP_ONLY, "http://localhost:8080/data/upload/1/a.png"),
        ("/data/upload/1/Übung 100%.png", SETUP_ONLY, "http://localhost:8080/data/upload/1/%C3%9Cbung%20100%25.png"),
        ("https://other.example/x.png?sig=1", OURS, "https://other.example/x.png?sig=1"),
        ("HTTP://Other.Example:80/x.png", OURS, "http://other.example:80/x.png"),
    ],
)
def test_addresses_resolve(address: str, connection: Connection, resolved: str) -> None:
    assert addresses.resolve(address, connection) == resolved


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://host/x.png",
        "s3://bucket/x.png",
        "gs://bucket/x.png",
        "azure-blob://container/x.png",
        "gopher://host/x",
        "javascript:alert(1)",
        "//studio.example/x.png",
        "upload/x.png",
        "C:\\x.png",
        "",
        "http:///x.png",
        "http://",
        "http://[::1/x.png",
        "http://host:99999/x.png",
        "http://host:port/x.png",
        "http://user@studio.example/x.png",
        "http://user:secret@studio.example/x.png",
        "https://evil.example\\@studio.example/x.png",
        "https://studio.example\\@evil.example/x.png",
        "https://studio.example\t.evil.example/x.png",
        "https://studio.example\r\nHost: evil/x.png",
        "/data\\x.png",
        "/\\evil.example/x.png",
    ],
)
def test_what_is_not_fetched_is_refused(address: str) -> None:
    with pytest.raises(ImageUrlError) as caught:
        addresses.resolve(address, OURS)
    assert caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://bucket/a b+c#1?.png", "gs://bucket/ü/größe.png", " azure-blob://box/100%.png\n"])
@pytest.mark.parametrize(
    ("connection", "door"),
    [
        (OURS, "https://studio.example/label/tasks/7/presign/?fileuri="),
        (SETUP_ONLY, "http://localhost:8080/tasks/7/presign/?fileuri="),
    ],
)
def test_a_cloud_storages_file_is_asked_of_label_studio(uri: str, connection: Connection, door: str) -> None:
    for task_id in (7, "7"):
        url = addresses.resolve(uri, connection, task_id)
        assert url.startswith(door)
        assert base64.urlsafe_b64decode(url.removeprefix(door)).decode() == uri.strip()
        assert token(url, connection)


@pytest.mark.parametrize("task_id", [None, True, -1, 1.5, "", "7/../8", "7?x=", "seven", "٧", "7\n", {"id": 7}])
def test_a_cloud_storages_file_needs_the_tasks_id(task_id: Any) -> None:
    with pytest.raises(ImageUrlError, match="task's id") as caught:
        addresses.resolve("s3://bucket/x.png?X-Amz-Signature=secret", OURS, task_id)
    assert caught.value.remedy
    assert "secret" not in str(caught.value)


def test_a_uri_that_no_encoding_can_write_is_refused() -> None:
    with pytest.raises(ImageUrlError):
        addresses.resolve("s3://bucket/\ud800.png", OURS, 7)


@pytest.mark.parametrize(
    "connection",
    [
        Connection(),
        Connection(setup_token="t"),
        Connection(setup_hostname="localhost:8080"),
        Connection(setup_hostname="?"),
    ],
)
def test_a_path_without_label_studios_address_says_what_to_set(connection: Connection) -> None:
    with pytest.raises(ImageUrlError, match="LABEL_STUDIO_URL"):
        addresses.resolve("/data/upload/1/a.png", connection)
    with pytest.raises(ImageUrlError, match="LABEL_STUDIO_URL"):
        addresses.resolve("s3://bucket/a.png", connection, 7)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://studio.example/label/data/upload/1/a.png", "environment"),
        ("https://studio.example:443/other", "environment"),
        ("https://STUDIO.example/x", "environment"),
        ("http://localhost:8080/x", "setup"),
        ("http://studio.example/x", None),
        ("https://studio.example:444/x", None),
        ("https://studio.example.evil.example/x", None),
        ("https://evil.example/https://studio.example/x", None),
        ("https://evil.example/?https://studio.example/", None),
        ("https://evil.example#@studio.example/", None),
        ("https://evil.example\\@studio.example/", None),
        ("https://studio.example@evil.example/", None),
        ("https://x@studio.example/", None),
        ("https://studio.example./x", None),
        ("http://localhost/x", None),
        ("http://localhost:8081/x", None),
        ("https://localhost:8080/x", None),
        ("http://127.0.0.1:8080/x", None),
        ("http://[::1]:8080/x", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_token_goes_to_its_own_origin_alone(url: str, expected: str | None) -> None:
    assert token(url) == expected


def test_where_both_name_the_same_origin_the_environments_token_wins() -> None:
    both = Connection("http://localhost:8080", "environment", "http://LOCALHOST:8080/", "setup")
    assert token("http://localhost:8080/x", both) == "environment"
    without_key = Connection("http://localhost:8080", "", "http://localhost:8080", "setup")
    assert token("http://localhost:8080/x", without_key) == "setup"


def test_without_tokens_nothing_is_sent() -> None:
    assert token("http://localhost:8080/x", Connection("http://localhost:8080")) is None
    assert token("http://localhost:8080/x", Connection("", "orphan", "", "orphan")) is None


@given(st.text(alphabet="htp:/\\@#?.studioexamplev[]%40 \t\n1", max_size=40))
def test_no_spelling_gets_the_token_to_another_host(rest: str) -> None:
    """Whoever gets a token, both of Python's parsers agree that it is that origin."""
    from urllib.parse import urlsplit

    for url in (f"https://{rest}", f"https://studio.example{rest}", f"https://evil.example{rest}studio.example/"):
        if token(url) is None:
            continue
        sent_to = urlsplit(addresses.checked(url))
        assert (sent_to.scheme, sent_to.hostname, sent_to.port or 443) == ("https", "studio.example", 443)
        assert "@" not in sent_to.netloc


def test_tokens_are_not_shown() -> None:
    for value in (OURS, addresses.credential_for("http://localhost:8080/x", OURS)):
        assert "environment" not in repr(value)
        assert "'setup'" not in repr(value)


def test_messages_show_no_signature_and_no_user_but_a_local_files_name() -> None:
    assert (
        addresses.shown("https://user:secret@s3.example/x.png?X-Amz-Signature=secret") == "'https://s3.example/x.png'"
    )
    assert addresses.shown("/data/local-files/?d=a/b.png") == "'/data/local-files/?d=a/b.png'"
    assert len(addresses.shown("https://host/" + "x" * 5000)) < 250
