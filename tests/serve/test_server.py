from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import paths
from stages.corpus.tokens import Tokens
from stages.latents.store import LatentStore
from stages.serve import server
from tests.serve.conftest import Served

TEXT = "She said that it was late."


def send(served: Served, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if body is not None else {}
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in (given | {key.replace("_", "-"): value for key, value in headers.items()}).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(content or b"")))
        connection.endheaders(content)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test(served: Served, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    status, _, content = send(served, "POST", "/api/test", body, **headers)
    return status, json.loads(content)


test.__test__ = False  # type: ignore[attr-defined]


def test_the_activations_are_those_of_the_store(served: Served) -> None:
    tokens = Tokens.open()
    text = (Path("texts") / tokens.documents["name"][0].as_py()).read_text()
    status, found = test(served, {"coder": "one", "text": text, "latents": list(range(24))})
    assert status == 200
    assert found["left_out"] > 0
    stored = LatentStore.open(paths.latents("one")).csr()[:, : tokens.context_length].toarray()
    assert [latent["latent"] for latent in found["latents"]] == sorted(range(24), key=lambda i: (-stored[i].max(), i))
    for latent in found["latents"]:
        values = np.zeros(tokens.context_length)
        values[latent["where"]] = latent["values"]
        np.testing.assert_allclose(values, stored[latent["latent"]], rtol=2e-5)
    assert found["firing"] == (stored > 0).any(axis=1).sum()


def test_what_is_known_of_the_latents_is_told(served: Served) -> None:
    status, found = test(served, {"coder": "one", "text": TEXT})
    assert status == 200
    assert found["special"] == [0]
    assert "".join(found["tokens"][1:]) == TEXT
    some = next(latent for latent in found["latents"] if latent["latent"] % 2 == 0)
    assert some["explanations"] == {"pattern": f"about {some['latent']}"}
    assert some["page"] == f"latent.html#one/{some['latent']}"
    assert some["largest"] >= 0.9 * some["strength"]
    assert test(served, {"coder": "two", "text": TEXT})[1]["latents"][0]["explanations"] == {}


def test_what_can_be_tested(served: Served) -> None:
    _, headers, content = send(served, "GET", "/api/about")
    assert json.loads(content) == {
        "coders": {"one": "layers.0", "two": "layers.1"},
        "subject": "subject",
        "context_length": 32,
    }
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "found something else"),
        (b"[" * 100_000, "found something else"),
        ([], "found no coder or no text in it"),
        ({"coder": "one"}, "found no coder or no text in it"),
        ({"coder": "one", "text": 3}, "found no coder or no text in it"),
        ({"coder": "one", "text": TEXT, "latents": [True]}, "found latents that are no list of numbers"),
        ({"coder": "one", "text": TEXT, "latents": []}, "found latents that are no list of numbers"),
        ({"coder": "one", "text": TEXT, "latents": [24]}, "the coder one has latents 0 to 23, but no 24"),
        ({"coder": "one", "text": TEXT, "latents": [-1]}, "the coder one has latents 0 to 23, but no -1"),
        ({"coder": "ono", "text": TEXT}, "params.yaml has no coder ono; did you mean one?"),
        ({"coder": "one", "text": " "}, "the text to test should not be empty; type some"),
    ],
)
def test_a_wrong_question_gets_a_sentence(served: Served, body: Any, sentence: str) -> None:
    status, found = test(served, body)
    assert status == 400
    assert list(found) == ["error"]
    assert found["error"].endswith(sentence)


def test_a_question_that_is_too_large_is_refused(served: Served) -> None:
    status, found = test(served, {"coder": "one", "text": "a" * server.MOST_BYTES})
    assert (status, found) == (413, {"error": "a test should be smaller than 256 kB"})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.1:x", "localhost:1@evil.example", ""],
)
def test_another_host_is_refused(served: Served, host: str) -> None:
    name = host.format(port=served.port)
    assert send(served, "GET", "/", Host=name)[0] == 403
    status, found = test(served, {"coder": "one", "text": TEXT}, Host=name)
    assert (status, found) == (403, {"error": "this server answers to 127.0.0.1 and localhost alone"})


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"?\r\n\r\n"]
)
def test_what_is_no_request_is_refused_and_not_logged(
    served: Served, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(sent)
        assert b" 400 " in connection.recv(100)
    assert caplog.records == []


def test_localhost_is_this_machine(served: Served) -> None:
    assert send(served, "GET", "/", Host=f"localhost:{served.port}")[0] == 200


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:9000", "127.0.0.1"])
def test_it_is_reached_through_a_tunnel(served: Served, host: str) -> None:
    """`ssh -L 9000:localhost:8642`: the browser names the port of its own end."""
    assert send(served, "GET", "/", Host=host)[0] == 200
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    assert test(served, {"coder": "one", "text": TEXT}, **own)[0] == 200
    assert test(served, {"coder": "one", "text": TEXT}, **own | {"Origin": "http://localhost:9001"})[0] == 403


def test_a_test_that_nobody_waits_for_is_dropped(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, begun, go_on = [], threading.Event(), threading.Event()

    def answer(self: server.Live, coder: str, text: str, wanted: list[int] | None) -> dict[str, Any]:
        asked.append(text)
        begun.set()
        assert go_on.wait(60)
        return {"text": text}

    monkeypatch.setattr(server.Live, "_answer", answer)
    served = Served()
    try:
        abandoned = []
        for number in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
            body = json.dumps({"coder": "one", "text": f"abandoned {number}"})
            connection.request("POST", "/api/test", body, {"Content-Type": "application/json"})
            abandoned.append(connection)
        assert begun.wait(60)
        for connection in abandoned:
            connection.close()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(test, served, {"coder": "one", "text": "mine"})
            for _ in range(20):  # the server gets to know who has left
                send(served, "GET", "/api/about")
                time.sleep(0.05)
            go_on.set()
            assert waiting.result(60) == (200, {"text": "mine"})
    finally:
        go_on.set()
        served.close()
    assert asked[-1] == "mine"
    assert len(asked) == 2, "the one under way when its asker left, and the next"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_is_refused(served: Served, headers: dict[str, str]) -> None:
    status, found = test(served, {"coder": "one", "text": TEXT}, **headers)
    assert (status, found) == (403, {"error": "this server answers to pages of its own alone"})


def test_a_page_of_this_origin_is_answered(served: Served) -> None:
    assert test(served, {"coder": "one", "text": TEXT}, Origin=served.origin, Sec_Fetch_Site="same-origin")[0] == 200


def test_what_a_form_could_send_is_refused(served: Served) -> None:
    status, found = test(served, {"coder": "one", "text": TEXT}, Content_Type="text/plain")
    assert (status, found) == (415, {"error": "a test should be sent as application/json"})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "POST"])
def test_files_can_only_be_read(served: Served, method: str) -> None:
    assert send(served, method, "/index.html", b"" if method == "POST" else None)[0] == 405


def test_the_files_of_the_report(served: Served) -> None:
    for path, kind in {
        "/": "text/html; charset=utf-8",
        "/index.html": "text/html; charset=utf-8",
        "/data/manifest.js?v=1": "text/javascript; charset=utf-8",
        "/live.html": "text/html; charset=utf-8",
        "/live/site.css": "text/css; charset=utf-8",
        "/live/live.js": "text/javascript; charset=utf-8",
    }.items():
        status, headers, content = send(served, "GET", path)
        assert (status, headers["Content-Type"]) == (200, kind), path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert content
    assert send(served, "GET", "/live.html")[1]["Content-Security-Policy"] == server.POLICY
    assert send(served, "GET", "/absent.html")[0] == 404
    assert send(served, "GET", "/data")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../../params.yaml",
        "/%2e%2e/%2e%2e/params.yaml",
        "/..%2f..%2fparams.yaml",
        "/data/../../../params.yaml",
        "/..%5c..%5cparams.yaml",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/index.html%00.js",
        "/live/../server.py",
        "/live/%2e%2e/server.py",
    ],
)
def test_nothing_outside_the_report_is_given(served: Served, path: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.split(b" ")[1] in (b"404", b"400")
    assert b"context_length" not in answer
    assert b"root:" not in answer


def test_a_link_leads_into_the_cache_of_dvc_alone(
    served: Served, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = tmp_path / "cache"
    cached.mkdir()
    (cached / "0123").write_text("cached")
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(server, "dvc_cache", lambda: cached)
    (paths.REPORT / "linked.js").symlink_to(cached / "0123")
    (paths.REPORT / "secret.js").symlink_to(tmp_path / "secret")
    (paths.REPORT / "folder").symlink_to(tmp_path)
    status, headers, content = send(served, "GET", "/linked.js")
    assert (status, content, headers["Content-Type"]) == (200, b"cached", "text/javascript; charset=utf-8")
    assert [send(served, "GET", path)[0] for path in ("/secret.js", "/folder/secret", "/folder/cache/0123")] == [
        404,
        404,
        200,
    ]
    for name in ("linked.js", "secret.js", "folder"):
        (paths.REPORT / name).unlink()


def test_one_text_is_read_at_a_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[float, float]] = []

    def slow(self: server.Live, *_: object) -> dict[str, Any]:
        began = time.monotonic()
        time.sleep(0.05)
        spans.append((began, time.monotonic()))
        return {}

    monkeypatch.setattr(server.Live, "_answer", slow)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: test(served, {"coder": "one", "text": TEXT})[0], range(4)))
    assert found == [200] * 4
    spans.sort()
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_without_live_tests_there_are_only_files(served_without_tests: Served) -> None:
    assert send(served_without_tests, "GET", "/")[0] == 200
    status, _, content = send(served_without_tests, "GET", "/live.html")
    assert (status, content) == (404, b"the report has no file of that name; it is served without the live test\n")
    assert send(served_without_tests, "GET", "/api/about")[0] == 404
    assert send(served_without_tests, "POST", "/api/test", {"coder": "one", "text": TEXT})[0] == 405
