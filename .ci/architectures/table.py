"""Judges cases that ``of_*.py`` wrote, and puts the table of what is exact and what is refused into docs/coders.md.

    python .ci/architectures/table.py CASES…            # judge, and fail if a coder computes something else than its library
    python .ci/architectures/table.py --write CASES…    # and write the table
    python .ci/architectures/table.py --check CASES…    # and fail if the table in docs/coders.md is another

Nothing but the code that reads coders is run, so it does where neither the libraries nor a model is.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages import coders  # noqa: E402
from stages.coders.readers import Options  # noqa: E402
from stages.errors import GlossaError  # noqa: E402

DOCS = ROOT / "docs/coders.md"
BEGIN, END = "<!-- written by .ci/architectures/table.py -->\n", "<!-- end -->\n"
EXACT = "exact"
TOLERANCE = 1e-4
"""Relative to the largest number, in float32."""
Row = tuple[str, str]
"""Library and architecture."""


def judged(case: Path) -> str:
    """``exact``, what is said where it is refused, or, beginning with ``WRONG``, what differs."""
    about = json.loads((case / "case.json").read_text())
    with np.load(case / "expected.npz") as arrays:
        expected = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    try:
        coder = coders.load(str(case / "coder" / about["path"]), Options(**about["options"]))
    except GlossaError as error:
        return str(error).replace(str(case / "coder"), "…")
    x = expected["x"]
    events = coder.encode(x)
    dense = torch.zeros(len(x), coder.n_latents)
    dense[events.rows, events.latents] = events.values
    latents = expected["latents"]
    if about.get("units"):  # a latent's unit is its authors' library's, another one than this library's
        latents, dense = latents / latents.amax(0).clamp(min=1e-12), dense / dense.amax(0).clamp(min=1e-12)
    if dense.shape != latents.shape or not close(dense, latents):
        return "WRONG: other latents fire, or otherwise"
    if "outputs" in expected and (coder.W_dec is None or not close(coder.decode(events, x), expected["outputs"])):
        return "WRONG: it reconstructs something else"
    wanted = {name.removeprefix("writes "): value for name, value in expected.items() if name.startswith("writes ")}
    written = {write.hookpoint: dense @ write.matrix() for write in coder.writes} if wanted else {}
    if written.keys() != wanted.keys() or not all(close(written[place], wanted[place]) for place in wanted):
        return "WRONG: its latents write something else"
    return EXACT


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether all numbers are the same but for rounding."""
    return bool((found - expected).abs().max() <= TOLERANCE * max(1.0, float(expected.abs().max())))


def reason(said: str) -> str:
    """A sentence without what stands for the reader's own files, or only says what to do."""
    text = re.sub(r"^((the (coder|transcoder|crosscoder) in )?…\S* )|( in …\S*?)(?=[,;]? )", "", said)
    return re.split(r"; (?!for)", text)[0].replace("|", "\\|")


def table(results: dict[Row, list[str]]) -> str:
    """The table in Markdown."""
    lines = ["| library | architecture | cases | computes |", "|---|---|---|---|"]
    for (library, architecture), found in results.items():
        exact = found.count(EXACT)
        said = list(dict.fromkeys(reason(one) for one in found if one != EXACT))
        parts = ([EXACT if exact == len(found) else f"exact in {exact}"] if exact else []) + [
            f"refused: {one}" for one in said
        ]
        lines.append(f"| {library} | {architecture} | {len(found)} | {'; '.join(parts)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    folders = [Path(one) for one in arguments if not one.startswith("--")]
    cases = sorted(file.parent for folder in folders for file in folder.rglob("case.json"))
    results: dict[Row, list[str]] = defaultdict(list)
    wrong: list[str] = []
    for case in cases:
        about: dict[str, Any] = json.loads((case / "case.json").read_text())
        found = judged(case)
        results[about["library"], about["architecture"]].append(found)
        if found.startswith("WRONG"):
            wrong.append(f"{about['library']}, {about['architecture']}, {about['variant']}: {found} ({case})")
    made = table(results)
    print(made)
    for one in wrong:
        print(one, file=sys.stderr)
    counts = [sum(one == EXACT for found in results.values() for one in found), len(wrong)]
    print(f"{len(cases)} cases: {counts[0]} exact, {len(cases) - sum(counts)} refused, {counts[1]} wrong")
    text = DOCS.read_text()
    before, rest = text.split(BEGIN)
    new = f"{before}{BEGIN}{made}{END}{rest.split(END, 1)[1]}"
    if "--write" in arguments and not wrong:
        DOCS.write_text(new)
    if "--check" in arguments and new != text:
        print("the table in docs/coders.md is another; write it with --write", file=sys.stderr)
        return 1
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
