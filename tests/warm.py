"""`dvc`, `glossa` and Python without their seconds of imports: a server that has imported the libraries, and forks for every command.

The command is the real one, of the folder and with the environment of whoever asks: what a fork has not imported is the code of this
repository, which it finds on its own PYTHONPATH. It has a process of its own, which dies with whoever asked for it. Tests of what starts
a process, or of what a process imports, start a real one.

All workers of a run of tests share a server, which ends with the run.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch", "numpy", "zarr", "pyarrow.parquet", "pyarrow.dataset", "pandas", "scipy.stats", "scipy.optimize", "vl_convert", "jinja2",
    "pydantic", "click", "tokenizers", "sentence_transformers", "transformers.models.llama.modeling_llama",
    "transformers.models.bert.modeling_bert", "openai", "aiohttp", "orjson", "ruamel.yaml", "dvc.repo", "dvc.cli.parser", "dvc_s3", "gto",
)  # fmt: skip
CLIENT = """\
#!{python} -IS
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    job = json.dumps({{"command": ["glossa", *sys.argv[1:]], "cwd": os.getcwd(), "environment": dict(os.environ)}}).encode()
    server.sendmsg([len(job).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (0, 1, 2)))])
    server.sendall(job)
    told = server.recv(4)
os._exit(int.from_bytes(told, "big") if told else 1)
"""
"""What stands in for ``glossa`` where a shell starts it, in a few hundredths of a second."""


def run(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], together: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs `dvc …`, `glossa …`, `python -c CODE …`, `python -m MODULE …` or `python FILE …`; if ``together``, ``stdout`` has both streams."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
        streams = nothing.fileno(), out.fileno(), (out if together else err).fileno()
        code = start(command, cwd, environment, streams).wait()
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode(errors="replace"))
        return subprocess.CompletedProcess(list(command), code, *printed)


class Started:
    """A command that runs."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server

    def wait(self) -> int:
        """Waits for its end; returns its exit status, as a shell would say it."""
        with self._server:
            told = self._server.recv(4)
        assert told, "the server of tests/warm.py is gone"
        return int.from_bytes(told, "big")


def start(command: Sequence[str], cwd: Path, environment: Mapping[str, str], streams: tuple[int, int, int]) -> Started:
    """Starts a command that reads from and prints to these files."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(str(folder() / "socket"))
    job = json.dumps({"command": list(command), "cwd": str(cwd), "environment": dict(environment)}).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
    server.sendmsg([len(job).to_bytes(8, "big")], rights)
    server.sendall(job)
    return Started(server)


@cache
def folder() -> Path:
    """Where the server of this run listens, at `socket`, and `bin/glossa` asks it; the first who calls this starts it."""
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    found = Path(tempfile.gettempdir()) / f"glossa-warm-{os.getuid()}-{owner}"
    found.mkdir(mode=0o700, exist_ok=True)
    with (found / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _answers(found):
            _open(found, owner)
    return found


def path() -> str:
    """A PATH on which ``glossa`` is one that asks the server, and all else what it is."""
    return os.pathsep.join((str(folder() / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))


def _answers(found: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as server:
        return server.connect_ex(str(found / "socket")) == 0


def _open(found: Path, owner: int) -> None:
    (found / "bin").mkdir(exist_ok=True)
    client = found / "bin/glossa"
    client.write_text(CLIENT.format(python=sys.executable, address=str(found / "socket")))
    client.chmod(0o755)
    (found / "socket").unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GLOSSA_", "DVC_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    log = str(found / "log")
    server = os.posix_spawn(  # no Popen, which complains at the end that it still runs
        sys.executable,
        [sys.executable, __file__, str(found), str(owner)],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,  # so that Ctrl-C ends the tests, and it with them
    )
    while not _answers(found):
        assert os.waitpid(server, os.WNOHANG) == (0, 0), Path(log).read_text()
        time.sleep(0.05)


# What follows runs in the server and the processes that it forks.


def serve(found: Path, owner: int) -> None:
    """Forks for every job until ``owner`` is gone."""
    import gc
    import selectors

    gc.disable()
    for library in LIBRARIES:
        with suppress(ModuleNotFoundError):  # an extra is not installed
            import_module(library)
    gc.collect()
    gc.freeze()
    gc.enable()
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as waiting:
        listening.bind(str(found / "socket"))
        listening.listen(64)
        waiting.register(listening, selectors.EVENT_READ)
        children: dict[socket.socket, int] = {}
        while _is_alive(owner):
            for key, _ in waiting.select(0.01 if children else 1):
                if key.fileobj is listening:
                    asked, _ = listening.accept()
                    if child := _forked(asked, [listening, waiting, *children]):
                        children[asked] = child
                        waiting.register(asked, selectors.EVENT_READ)
                elif key.fileobj in children:
                    os.kill(children[key.fileobj], 9)  # whoever asked is gone
                    waiting.unregister(key.fileobj)
            for asked, child in list(children.items()):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    code = os.waitstatus_to_exitcode(status)
                    _tell(asked, code if code >= 0 else 128 - code)
                    if asked in waiting.get_map():
                        waiting.unregister(asked)
                    asked.close()
                    del children[asked]
    shutil.rmtree(found, ignore_errors=True)


def _tell(asked: socket.socket, code: int) -> None:
    with suppress(OSError):  # nobody may wait any more
        asked.sendall(code.to_bytes(4, "big"))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _forked(asked: socket.socket, others: Sequence[Any]) -> int:
    """Reads a job and starts a process for it; returns 0 if there is none."""
    head, rights, _, _ = asked.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    if not head:
        asked.close()
        return 0
    streams = array.array("i")
    streams.frombytes(rights[0][2][:12])
    size, body = int.from_bytes(head, "big"), b""
    while len(body) < size:
        body += asked.recv(size - len(body))
    if child := os.fork():
        for stream in streams:
            os.close(stream)
        return child
    for stream, mine in zip(streams, (0, 1, 2), strict=True):
        os.dup2(stream, mine)
        os.close(stream)
    for other in (asked, *others):
        other.close()
    _work(json.loads(body))
    raise AssertionError


def _work(job: dict[str, Any]) -> None:
    """Runs a command in this process and ends it, as the interpreter would."""
    import atexit
    import threading
    import traceback

    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["cwd"])
    time.tzset()
    sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    sys.stdin, sys.stdout, sys.stderr = (
        open(place, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115 - they are open
        for place, mode, errors in ((0, "r", None), (1, "w", None), (2, "w", "backslashreplace"))
    )
    code: Any = 1
    try:
        code = _main(*job["command"])
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code or 0)


def _main(program: str, *words: str) -> Any:
    import runpy

    match program, *words:
        case "dvc", *_:
            from dvc.cli import main

            sys.argv = ["dvc", *words]
            return main(list(words))
        case "glossa", *_:
            from stages.cli import main as glossa

            sys.argv = ["glossa", *words]
            glossa(prog_name="glossa")
        case "python", "-c", text, *_:
            sys.argv = ["-c", *words[2:]]
            sys.path.insert(0, "")
            exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})
        case "python", "-m", module, *_:
            sys.argv = [module, *words[2:]]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case "python", file, *_:
            sys.argv = list(words)
            runpy.run_path(file, run_name="__main__")
    return 0


if __name__ == "__main__":
    del sys.path[0]  # this folder, where tests lie
    sys.path.insert(0, "")
    serve(Path(sys.argv[1]), int(sys.argv[2]))
