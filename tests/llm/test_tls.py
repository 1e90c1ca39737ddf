"""Servers whose certificates an authority of somebody's own has signed, and what goes wrong with TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from stages.errors import GlossaError
from stages.llm.server import broken
from tests.llm.asking import ask, judge, runtime_yaml
from tests.llm.certificates import Authority
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, good

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
LOCAL = ("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "Another authority")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@contextmanager
def at_once() -> Iterator[None]:
    """Fails if it takes as long as a fault that is tried again."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 15


def test_the_file_that_the_endpoint_names_vouches_for_its_server(serve: Serve, lab: Authority) -> None:
    server = serve(tls=lab.serves(*LOCAL), ca_bundle=str(lab.file), concurrency=4)
    assert server.url.startswith("https://")
    assert all(answer.content for answer in ask(10))


@pytest.mark.parametrize("variable", VARIABLES)
def test_so_does_what_the_environment_names(
    serve: Serve, lab: Authority, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lab.hashed(tmp_path / "hashed") if variable == "SSL_CERT_DIR" else lab.file
    monkeypatch.setenv(variable, f"/no/such/folder:{place}" if variable == "SSL_CERT_DIR" else str(place))
    serve(tls=lab.serves(*LOCAL))
    assert ask()[0].content


def test_what_the_endpoint_names_goes_before_the_environment(
    serve: Serve, lab: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    server = serve(tls=lab.serves(*LOCAL), ca_bundle=str(lab.file))
    ask()
    runtime_yaml(server.url)
    with pytest.raises(GlossaError, match="a certificate of an authority that is not trusted here"):
        ask(2)


def test_files_and_folders_of_the_environment_add_up(
    serve: Serve, lab: Authority, other: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.file))
    monkeypatch.setenv("SSL_CERT_DIR", str(lab.hashed(tmp_path / "hashed")))
    serve(tls=lab.serves(*LOCAL))
    assert ask()[0].content


@pytest.mark.parametrize(
    ("hosts", "days", "trusts", "said"),
    [
        (
            LOCAL,
            1,
            False,
            r"not trusted here \(.*\); name the file with that authority's certificate as ca_bundle of the",
        ),
        (("lab.example.org",), 1, True, r"a certificate for another name \(.*'127\.0\.0\.1'\); write in base_url in"),
        (LOCAL, -2, True, r"a certificate that is not valid today \(certificate has expired\); have it renewed"),
    ],
    ids=["authority", "name", "date"],
)
def test_a_certificate_that_can_t_be_trusted_ends_the_stage_at_once_and_says_what_to_do(
    serve: Serve, lab: Authority, hosts: tuple[str, ...], days: int, trusts: bool, said: str
) -> None:
    server = serve(tls=lab.serves(*hosts, days=days), **({"ca_bundle": str(lab.file)} if trusts else {}))
    with at_once(), pytest.raises(GlossaError, match=said) as caught:
        ask(5)
    assert f"asked the endpoint lab at {server.url} for m, but got a certificate" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not server.calls


def test_a_server_without_tls_where_the_address_says_so(serve: Serve) -> None:
    with plain_server(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n") as port:
        serve()
        runtime_yaml(f"https://127.0.0.1:{port}/v1")
        with (
            at_once(),
            pytest.raises(GlossaError, match=r"but got no TLS, which https:// in base_url .* write http://"),
        ):
            ask(5)


def test_a_server_with_tls_where_the_address_does_not_say_so(serve: Serve, lab: Authority) -> None:
    server = serve(tls=lab.serves(*LOCAL))
    runtime_yaml(server.url.replace("https", "http"))
    with (
        at_once(),
        pytest.raises(GlossaError, match=r"without TLS, which the server speaks; write https:// in base_url"),
    ):
        ask(5)
    assert not server.calls


def test_so_says_one_that_answers_in_plain_words(serve: Serve) -> None:
    said = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"
    serve(lambda _: Action(400, said))
    with pytest.raises(GlossaError, match="write https:// in base_url"):
        ask()


def test_a_connection_that_breaks_is_no_fault_of_tls(serve: Serve, lab: Authority) -> None:
    server = serve(
        lambda asked: Action(cut=0) if asked.n == 1 else good(asked), tls=lab.serves(*LOCAL), ca_bundle=str(lab.file)
    )
    assert ask()[0].content
    assert len(server.calls) > 4
    with plain_server(b"") as port:
        runtime_yaml(f"https://127.0.0.1:{port}/v1", patience=0.1)
        with pytest.raises(GlossaError, match="see that it runs, or raise"):
            ask(3)


def test_a_fault_of_tls_that_has_no_name_here_is_shown() -> None:
    error = httpx2.ConnectError("")
    refused = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version (_ssl.c:1006)")
    error.__cause__ = broken.aiohttp.ClientConnectorSSLError(None, refused)  # type: ignore[arg-type]
    fault = broken.fault(error)
    assert (fault.kind, fault.billed) == ("fatal", False)
    assert "no agreement on TLS (" in fault.reason
    assert "protocol version" in fault.reason


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        (
            "none.pem",
            r"in none\.pem, which endpoints\.lab\.ca_bundle of runtime\.yaml names, but there is no such file; name",
        ),
        (
            "text.pem",
            r"which endpoints\.lab\.ca_bundle of runtime\.yaml names, but it can't be read as one \(.*; name another",
        ),
        (".", r"but none has the name by which OpenSSL looks for it; run openssl rehash on the folder"),
    ],
)
def test_certificates_that_are_none_are_found_missing_before_anything_runs(
    serve: Serve, bundle: str, said: str
) -> None:
    serve()
    Path("text.pem").write_text("no certificate")
    runtime_yaml("https://127.0.0.1:1/v1", ca_bundle=bundle)
    with pytest.raises(GlossaError, match=said):
        judge().check()


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_that_names_none_is_named(serve: Serve, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/no/such/place")
    serve()
    ask()  # without TLS nobody vouches for anything
    runtime_yaml("https://127.0.0.1:1/v1")
    with pytest.raises(
        GlossaError, match=f"which the environment variable {variable} names, but there is no such file"
    ):
        judge().check()


def test_looking_whether_a_server_speaks_tls(lab: Authority) -> None:
    with plain_server(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        assert not asyncio.run(broken.speaks_tls(httpx2.URL(f"http://127.0.0.1:{port}/")))
    assert not asyncio.run(broken.speaks_tls(httpx2.URL("http://127.0.0.1:1/")))


@contextmanager
def plain_server(answer: bytes) -> Iterator[int]:
    """A server that answers these bytes to whatever comes, and hangs up; gives its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.recv(2**16)
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
