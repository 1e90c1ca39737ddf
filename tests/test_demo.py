"""The committed demo is what its card says."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

from stages import coders, params
from stages.params.coders import Coder
from stages.rating.file import read

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "demo"


def files() -> dict[str, str]:
    found = [
        path for path in DEMO.rglob("*") if path.is_file() and path.parent.name not in ("demo", "making", "scratch")
    ]
    found += [DEMO / "corpus.jsonl", DEMO / "explanations.jsonl"]
    return {path.relative_to(DEMO).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_the_card_lists_every_file_with_its_hash() -> None:
    card = (DEMO / "README.md").read_text()
    assert dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", card, re.MULTILINE)) == files()


def test_the_coders_are_small_and_load() -> None:
    assert sum(path.stat().st_size for path in (DEMO / "coders").rglob("*") if path.is_file()) < 45e6
    entries = params.load(ROOT / "params.yaml").coders
    assert len(entries) == 4
    for entry in entries.values():
        assert isinstance(entry, Coder)
        coder = coders.load(entry.path, form=entry.format)
        assert (coder.n_latents, coder.d_in) == (4096, 576)


def test_explanations_are_of_these_coders_one_by_latent() -> None:
    rows = read(DEMO / "explanations.jsonl", rated=False)
    p = params.load(ROOT / "params.yaml")
    found = Counter((row.coder, row.coder_sha256) for row in rows)
    hashes = {name: coders.load(entry.path, form=entry.format).identity["sha256"] for name, entry in p.coders.items()}
    assert dict(found) == dict.fromkeys(hashes.items(), 30)
    assert len({(row.coder, row.latent) for row in rows}) == len(rows)
    assert all(len((row.explanation or "").split()) >= 2 for row in rows)


def test_every_source_of_the_text_has_its_licence() -> None:
    sources = {json.loads(line)["source"] for line in (DEMO / "corpus.jsonl").read_text("utf-8").splitlines()}
    licences = (DEMO / "licenses.txt").read_text()
    assert sources == {"speeches", "manual", "novel", "dictionary"}
    for source in sources:
        assert re.search(rf"^{source} ", licences, re.MULTILINE)
