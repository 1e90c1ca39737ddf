"""Asks questions and fills the disk of the journal meanwhile: ``python -m tests.llm.filling_run N``, where GLOSSA_HOME is small."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress

from stages.errors import GlossaError
from stages.machine import runtime
from tests.llm.asking import ask
from tests.llm.crashing_run import size


def fill(after: int) -> None:
    """Takes all room there is, once there are some answers."""
    while size() < after:
        time.sleep(0.005)
    with (runtime.home() / "junk").open("wb", buffering=0) as file:
        for block in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(block))


def main() -> None:
    threading.Thread(target=fill, args=(12,), daemon=True).start()
    try:
        ask(int(sys.argv[1]))
    except GlossaError as error:
        print(error)


if __name__ == "__main__":
    main()
