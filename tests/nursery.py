"""Processes that are killed after a counted number of steps: whatever they were at, what they leave has to be whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BEGIN = """
import os, signal, sys, traceback
from pathlib import Path

def mortal(*steps):
    for place, name in steps:
        setattr(place, name, dying(getattr(place, name)))

def dying(fast):
    def counted(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return fast(*args, **kwargs)
    return counted
"""
END = """
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        left = int(line)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def opened(code: str, *arguments: str, **environment: str) -> Iterator[Callable[[int], int]]:
    """Yields a function that starts a process, which dies after so many steps, and returns how it ended.

    ``code`` imports what takes long, once, and defines what the process does, ``work()``; ``mortal((place, name), …)`` in it has calls of these
    functions count as steps.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", BEGIN + code + END, *arguments]
    with subprocess.Popen(command, env=os.environ | environment, text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(steps: int) -> int:
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield run
        process.stdin.close()
