"""The key is sent to the server and is nowhere else."""

from __future__ import annotations

import html
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest

from stages.errors import GlossaError
from stages.llm.journal.store import Journal
from stages.llm.journal.transcript import recording
from stages.llm.request import Message, Request
from stages.llm.server import faults
from tests.clones import ROOT
from tests.llm.asking import ask, judge, runtime_yaml
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, Server, completion, error, good

CANARY = "sk-canary-4f1d9c27b8"
PROGRAM = """
import signal
from pathlib import Path
from stages.llm.journal.transcript import recording
from stages.outputs import new_directory
from tests.llm.asking import ask
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
with recording(Path("out")) as transcript:
    ask(300, logprobs=2)
    with new_directory(Path("out")) as partial:
        transcript.save(partial)
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", CANARY)


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def parrot(asked: Asked) -> Action:
    """Repeats the header in its answer, as careless servers do when they complain."""
    return completion(asked, model_says=asked.headers["authorization"])


def test_it_is_sent_and_it_is_in_no_file_not_even_when_the_server_repeats_it(serve: Serve, tmp_path: Path) -> None:
    server = serve(parrot, api_key_env="LAB_KEY")
    (answer,) = ask()
    assert answer.content
    assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {CANARY}"}
    assert CANARY.encode() not in everything(tmp_path)
    assert b"canary" not in everything(tmp_path)


def test_it_is_in_no_message_when_the_server_refuses_it(serve: Serve, tmp_path: Path) -> None:
    serve(lambda asked: error(401, f"bad {asked.headers['authorization']}"), api_key_env="LAB_KEY")
    with pytest.raises(GlossaError) as caught:
        ask()
    assert r"401 (bad Bearer [key])" in str(caught.value)
    chain: list[BaseException | None] = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any("canary" in repr(error) for error in chain)
    assert b"canary" not in everything(tmp_path)


def test_it_is_not_logged_at_any_level(serve: Serve) -> None:
    serve(parrot, api_key_env="LAB_KEY")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("openai").setLevel(logging.DEBUG)
    try:
        ask(3)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        logging.getLogger("openai").setLevel(logging.NOTSET)
    assert "HTTP Request" in stream.getvalue()
    assert "canary" not in stream.getvalue()


@pytest.mark.parametrize("ending", ["kill", "interrupt", "fault", "crash"])
def test_it_is_in_no_file_and_no_stream_after_a_crash(tmp_path: Path, ending: str) -> None:
    def script(asked: Asked) -> Action:
        if ending == "fault" and "Question 40" in str(asked.body):
            return error(403, f"no {asked.headers['authorization']}")
        return parrot(asked)._replace(delay=0.01)

    with Server(script) as server:
        workplace = tmp_path / "workplace"
        workplace.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENAI_LOG": "debug",
            "GLOSSA_HOME": str(workplace / "home"),
        }
        program = PROGRAM
        if ending == "crash":
            program = PROGRAM.replace("ask(300", "next(iter([])) if ask(50) else ask(300")
        here = Path.cwd()
        os.chdir(workplace)
        try:
            runtime_yaml(server.url, api_key_env="LAB_KEY", concurrency=4)
        finally:
            os.chdir(here)
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", program],
            cwd=workplace,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while len(server.calls) < 30 and process.poll() is None:
            time.sleep(0.01)
        if ending in ("kill", "interrupt"):
            process.send_signal(signal.SIGKILL if ending == "kill" else signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert len(server.calls) >= 30
    said = {"interrupt": b"KeyboardInterrupt", "fault": b"RefusedError", "crash": b"StopIteration", "kill": b""}[ending]
    assert said in printed
    assert b"canary" not in printed
    assert b"canary" not in everything(workplace)
    assert (workplace / "home" / "journal.sqlite").stat().st_size > 0


def test_a_word_in_the_place_of_a_key_is_left_in_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "none")
    server = serve(lambda asked: completion(asked, content="It fires on none of them."), api_key_env="LAB_KEY")
    (answer,) = judge(structured="none").answer([Request((Message("user", "Explain."),))])
    assert answer.content == "It fires on none of them."
    assert {call.headers["authorization"] for call in server.calls} == {"Bearer none"}


def test_without_a_key_none_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(variable, CANARY)
    server = serve(good)
    ask()
    assert not any("authorization" in call.headers or CANARY in str(call.headers) for call in server.calls)
    assert not any("stainless" in name for call in server.calls for name in call.headers)  # what machine this is


def test_a_key_that_is_not_set_is_named_by_its_variable(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_KEY")
    server = serve(api_key_env="LAB_KEY")
    with pytest.raises(
        GlossaError, match="the key of the endpoint lab in the environment variable LAB_KEY, but it is not"
    ):
        ask()
    assert not server.calls
    with Journal.at_home() as journal:
        assert journal.spent("lab") == (0, 0, 0)


def test_an_address_from_the_environment_is_not_followed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Server()
    with other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("http_proxy", other.url)
        server = serve()
        ask()
    assert server.calls
    assert not other.calls


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    with Server() as other:
        serve(lambda _: Action(307, headers={"location": f"{other.url}/chat/completions"}), api_key_env="LAB_KEY")
        with pytest.raises(GlossaError, match="307, a redirect"):
            ask()
    assert not other.calls


SPELT = {
    "slash": lambda key: key.replace("/", "\\/"),
    "json": lambda key: "".join(f"\\u{ord(character):04x}" for character in key),
    "dash": lambda key: key.replace("-", "\\u002d"),
    "json in json": lambda key: key.replace("-", "\\\\u002d").replace("/", "\\\\/"),
    "page": lambda key: key.replace("-", "&#45;").replace("/", "&#x2F;"),
    "address": lambda key: key.replace("/", "%2F"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("spelling", SPELT)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_it_is_nowhere_however_the_server_spells_it(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unprobed: None,
    status: int,
    spelling: str,
    encoding: str,
) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    key = "sk/canary-4f1d/9c27b8"
    monkeypatch.setenv("LAB_KEY", key)

    def script(asked: Asked) -> Action:
        if "Question 1" not in str(asked.body):
            return good(asked)
        told = f"your key {SPELT[spelling](key)} is bad"
        said = completion(asked, content="@") if status == 200 else error(status, "@")
        return said._replace(body=said.body.decode().replace("@", told).encode(encoding))

    serve(script, api_key_env="LAB_KEY", concurrency=2)
    model = judge(structured="none", reasks=0)
    requests = [Request((Message("user", f"Question {number}"),)) for number in range(3)]
    said = ""
    try:
        with recording(Path("out")) as transcript:
            said = str(list(model.answer(requests)))
            transcript.save(Path())
        kept = pq.read_table("transcript.parquet")["response"].to_pylist()
        said += "".join(map(decoded, kept))
    except GlossaError as caught:
        said = str(caught)
    with Journal.at_home() as journal:
        rows = [journal[key].response.decode() for (key,) in journal._db.execute("SELECT key FROM response")]
        said += "".join(map(decoded, rows)) + str(journal._db.execute("SELECT error FROM attempt").fetchall())
    assert "[key]" in said
    assert key not in said
    assert "canary" not in said
    assert b"canary" not in everything(tmp_path)


def decoded(body: str) -> str:
    """A body as whoever reads it sees it."""
    return html.unescape(unquote(json.dumps(json.loads(body), ensure_ascii=False).encode().decode("unicode_escape")))
