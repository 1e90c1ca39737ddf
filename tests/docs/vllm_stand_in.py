"""Stands in for ``vllm run-batch``: answers every line of a file of questions as the scripted server does."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def command(folder: Path) -> Path:
    """Makes a program ``vllm`` in ``folder``."""
    program = folder / "vllm"
    program.parent.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m tests.docs.vllm_stand_in "$@"\n')
    program.chmod(0o755)
    return program


def main() -> None:
    from tests.llm.scripted_server import Asked, good

    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run-batch"])
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--max-model-len", type=int)
    given = parser.parse_args()
    with given.o.open("w") as results:
        for line in given.i.read_text().splitlines():
            asked = json.loads(line)
            assert asked["body"]["model"] == given.model
            body = json.loads(good(Asked(asked["custom_id"], asked["body"], 1, {})).body)
            response = {"status_code": 200, "request_id": "r", "body": body}
            results.write(
                json.dumps({"id": "i", "custom_id": asked["custom_id"], "response": response, "error": None}) + "\n"
            )


if __name__ == "__main__":
    main()
