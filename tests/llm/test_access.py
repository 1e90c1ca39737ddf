"""What runtime.yaml has sent along and through which proxy: it arrives, decides nothing, and its secrets are nowhere else."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stages.errors import GlossaError
from stages.llm.journal.store import Journal
from stages.llm.journal.transcript import recording
from stages.llm.server import faults
from tests.llm.asking import ask, judge, runtime_yaml
from tests.llm.certificates import Authority
from tests.llm.conftest import Serve
from tests.llm.connect_proxy import Proxy
from tests.llm.scripted_server import Action, Asked, Server, completion, error, good
from tests.llm.test_secrets import SPELT, decoded, everything

AZURE, GATEWAY = "azure/canary-4f1d/9c27", "gate-canary+77aa-b8e1"
AZURE_LIKE = {
    "headers": {"api-key": "$AZURE_KEY", "x-gateway-auth": "Bearer ${GATEWAY_KEY}", "x-team": "latents"},
    "query": {"api-version": "2024-10-21", "sig": "$GATEWAY_KEY"},
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", f"{AZURE}\n")
    monkeypatch.setenv("GATEWAY_KEY", GATEWAY)


@pytest.fixture
def lab(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "lab")


def test_headers_and_query_go_with_every_question(serve: Serve) -> None:
    server = serve(**AZURE_LIKE)
    assert all(answer.content for answer in ask(3))
    assert len(server.calls) == 6
    for call in server.calls:
        assert call.headers["api-key"] == AZURE
        assert call.headers["x-gateway-auth"] == f"Bearer {GATEWAY}"
        assert call.headers["x-team"] == "latents"
        assert (call.headers["content-type"], call.headers["accept-encoding"]) == ("application/json", "identity")
        assert "authorization" not in call.headers
        parts = urlsplit(call.path)
        assert parts.path == "/v1/chat/completions"
        assert parse_qs(parts.query, strict_parsing=True) == {"api-version": ["2024-10-21"], "sig": [GATEWAY]}


def test_a_deployment_of_azure_answers(serve: Serve) -> None:
    def azure(asked: Asked) -> Action:
        parts = urlsplit(asked.path)
        if parts.path != "/openai/deployments/judge/chat/completions" or "api-version" not in parse_qs(parts.query):
            return error(404, "Resource not found", "404")
        return good(asked) if asked.headers.get("api-key") == AZURE else error(401, "Access denied", "401")

    server = serve(azure)
    url = server.url.replace("/v1", "/openai/deployments/judge")
    runtime_yaml(url)
    with pytest.raises(
        GlossaError, match=r"404 \(Resource not found\); check base_url .* and the query where the server wants"
    ):
        ask()
    runtime_yaml(url, query={"api-version": "2024-10-21"}, headers={"api-key": "$GATEWAY_KEY"})
    with pytest.raises(GlossaError, match=r"401 \(Access denied\); check the key in the environment .*, or a header"):
        ask()
    runtime_yaml(url, **AZURE_LIKE)
    assert ask()[0].content


def test_they_have_no_part_in_what_is_kept(serve: Serve) -> None:
    server = serve(**AZURE_LIKE)
    first = ask(3)
    runtime_yaml(server.url, headers={"x-other": "1"})
    sent = len(server.calls)
    assert ask(3) == first
    assert len(server.calls) == sent


def test_a_server_with_another_query_is_tried_anew(serve: Serve) -> None:
    server = serve(query={"api-version": "1"})
    ask()
    runtime_yaml(server.url, query={"api-version": "2"})
    ask(2)
    assert len(server.calls) == 3 + 1 + 3 + 1


@pytest.mark.parametrize("name", ["AZURE_KEY", "GATEWAY_KEY"])
def test_a_variable_that_is_not_set_is_said_before_anything_runs(
    serve: Serve, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)
    server = serve(**AZURE_LIKE)
    said = rf"value for endpoints\.lab\.headers\.\S+ of runtime\.yaml in the environment variable {name}, but it is not set"
    for attempt in (judge().check, ask):
        with pytest.raises(GlossaError, match=said) as caught:
            attempt()
        assert "canary" not in str(caught.value)
    assert not server.calls


def test_a_variable_that_no_header_can_hold_is_refused_without_being_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", f"{AZURE}\r\nx-evil: 1")
    serve(**AZURE_LIKE)
    with pytest.raises(GlossaError, match=r"expected printable ASCII in endpoints\.lab\.headers\.api-key") as caught:
        ask()
    assert "canary" not in str(caught.value)


def parrot(asked: Asked) -> Action:
    """Repeats all that it was sent along."""
    return completion(asked, said=[asked.headers, asked.path])


def test_secrets_are_in_no_file_though_the_server_repeats_them(serve: Serve, tmp_path: Path) -> None:
    serve(parrot, api_key_env=None, **AZURE_LIKE)
    assert ask()[0].content
    with Journal.at_home() as journal:
        (key,) = (key for (key,) in journal._db.execute("SELECT key FROM response"))
        assert journal[key].response.count(b"[key]") == 3
    assert b"canary" not in everything(tmp_path)


@pytest.mark.parametrize("spelling", SPELT)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_none_of_several_secrets_is_anywhere_however_the_server_spells_them(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unprobed: None, status: int, spelling: str
) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("LAB_KEY", "sk/canary-third/0a1b")
    secrets = (AZURE, GATEWAY, "sk/canary-third/0a1b")

    def script(asked: Asked) -> Action:
        if "Question 1" not in str(asked.body):
            return good(asked)
        told = " and ".join(SPELT[spelling](secret) for secret in secrets)
        said = completion(asked, content="@") if status == 200 else error(status, "@")
        return said._replace(body=said.body.decode().replace("@", f"bad: {told}.").encode())

    serve(script, api_key_env="LAB_KEY", concurrency=2, **AZURE_LIKE)
    said = ""
    try:
        with recording(Path("out")) as transcript:
            said = str(ask(3, structured="none", reasks=0))
            transcript.save(Path())
    except GlossaError as caught:
        said = str(caught)
    with Journal.at_home() as journal:
        rows = [journal[key].response.decode() for (key,) in journal._db.execute("SELECT key FROM response")]
        said += "".join(map(decoded, rows)) + str(journal._db.execute("SELECT error FROM attempt").fetchall())
    assert "[key] and [key] and [key]" in said
    assert "canary" not in said
    assert b"canary" not in everything(tmp_path)


def test_they_are_not_logged_at_any_level(serve: Serve) -> None:
    serve(parrot, **AZURE_LIKE)
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        ask(3)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "api-version=2024-10-21&sig=[key]" in stream.getvalue()
    assert "canary" not in stream.getvalue()
    assert not logging.getLogger("httpx2").filters


@pytest.mark.parametrize("where", ["headers", "query", "key"])
def test_a_redirect_takes_nothing_along(serve: Serve, where: str) -> None:
    options: dict[str, Any] = {"api_key_env": "AZURE_KEY"} if where == "key" else {where: AZURE_LIKE[where]}
    with Server() as other:
        serve(lambda _: Action(307, headers={"location": f"{other.url}/chat/completions"}), **options)
        with pytest.raises(GlossaError, match="307, a redirect") as caught:
            ask()
    assert not other.calls
    assert "canary" not in str(caught.value)


def test_a_proxy_sees_whom_it_connects_to_and_no_secret(serve: Serve, lab: Authority) -> None:
    server = serve(tls=lab.serves("127.0.0.1"))
    with Proxy() as proxy:
        options = {**AZURE_LIKE, "ca_bundle": str(lab.file), "concurrency": 4}
        runtime_yaml(server.url, proxy=f"http://{proxy.address}", **options)
        assert all(answer.content for answer in ask(5))
    assert len(server.calls) == 8
    assert server.calls[0].headers["api-key"] == AZURE
    assert proxy.heads
    assert all(head.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n") for head in proxy.heads)
    assert not any("canary" in head for head in proxy.heads)


def test_a_proxys_name_and_password_come_from_the_environment_and_stay_there(
    serve: Serve, lab: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = "me:p%40ss-canary-0123456"
    server = serve(parrot, tls=lab.serves("127.0.0.1"))
    with Proxy(login.replace("%40", "@")) as proxy:
        runtime_yaml(server.url, proxy="$LAB_PROXY", ca_bundle=str(lab.file))
        monkeypatch.setenv("LAB_PROXY", f"http://{login}@{proxy.address}")
        assert ask()[0].content
        assert b"canary" not in everything(tmp_path)
        monkeypatch.setenv("LAB_PROXY", f"http://{proxy.address}")
        with pytest.raises(
            GlossaError, match=r"the proxy refuses it \(407\); give it its name and password in the variable"
        ):
            ask(2)
        monkeypatch.setenv("LAB_PROXY", "canary")
        with pytest.raises(GlossaError, match=r"the address of a proxy in endpoints\.lab\.proxy") as caught:
            ask(2)
        assert "canary" not in str(caught.value)
    encoded = base64.b64encode(login.replace("%40", "@").encode()).decode()
    assert not any(encoded in str(call) for call in server.calls)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            403,
            r"but got no connection, as the proxy refuses it \(403\); use another, or none: see proxy of the endpoint",
        ),
        (502, r"but got no connection, as the proxy can't reach the server \(502\); see that it runs"),
    ],
)
def test_a_proxy_that_does_not_connect_is_named(serve: Serve, status: int, said: str) -> None:
    serve()
    with Proxy(status=status) as proxy:
        runtime_yaml("https://127.0.0.1:1/v1", proxy=f"http://{proxy.address}", patience=0.1)
        with pytest.raises(GlossaError, match=said):
            ask()
    runtime_yaml("https://127.0.0.1:1/v1", proxy="http://127.0.0.1:1", patience=0.1)
    with pytest.raises(GlossaError, match=r"but got no connection to the proxy \(Connect call failed"):
        ask()


def test_without_tls_a_proxy_passes_on_what_it_may_see(serve: Serve) -> None:
    server = serve()
    with Proxy() as proxy:
        runtime_yaml(server.url, proxy=f"http://{proxy.address}", insecure=True, **AZURE_LIKE)
        assert ask()[0].content
    assert server.calls[0].path.startswith(f"{server.url}/chat/completions?")
    assert server.calls[0].headers["api-key"] == AZURE


def test_what_is_sent_along_is_said_in_runtime_yaml_as_it_is(serve: Serve) -> None:
    server = serve()
    Path("runtime.yaml").write_text(
        f"endpoints:\n  lab:\n    base_url: {server.url}\n    headers: {{x-price: 5$$, x-n: 3}}\n"
        "    query: {api-version: 2024-10-21}\n"
    )
    ask()
    assert (server.calls[0].headers["x-price"], server.calls[0].headers["x-n"]) == ("5$", "3")
    assert server.calls[0].path.endswith("?api-version=2024-10-21")
