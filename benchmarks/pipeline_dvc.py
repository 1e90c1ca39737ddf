"""Runs DVC and, at the end, writes down the processor time of this process alone.

    python benchmarks/pipeline_dvc.py FILE repro

The system counts the commands of stages with whoever started DVC, as its children; only DVC itself can tell its own time.
"""

import atexit
import resource
import sys
from pathlib import Path


def note(file: Path) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    file.write_text(str(used.ru_utime + used.ru_stime), encoding="utf-8")


if __name__ == "__main__":
    atexit.register(note, Path(sys.argv[1]))
    from dvc.cli import main

    sys.exit(main(sys.argv[2:]))
