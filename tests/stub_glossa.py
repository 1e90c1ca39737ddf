"""Stands in for ``glossa``: every stage writes one hash of what its real counterpart reads, and notes that it ran.

It is started by DVC in a copy of the repository, so it is a script that imports nothing of Glossa. params.yaml is JSON there.
"""

import hashlib
import json
import sys
from pathlib import Path


def content(path: Path) -> list[str]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]


def named(stage: str, coder: str = "", explainer: str = "", scorer: str = "") -> str:
    """As DVC calls the stage, with the coder in the place of its file."""
    return (
        (f"{coder}:" if coder else "")
        + stage
        + (f"@{explainer}" if explainer else "")
        + (f"-{scorer}" if scorer else "")
    )


def main(stage: str, *names: str) -> None:
    p = json.loads(Path("params.yaml").read_text())
    data = Path("data")
    coders, explainers, scorers = p["coders"], p["explainers"], p["scorers"]
    explained = [data / "explanations" / c / e for c in coders for e in explainers]
    place = Path(*names)
    coder = names[0] if names else ""
    match stage:
        case "tokenize":
            reads, takes, outs = (
                ["constraints.txt", "demo/subject/tokenizer.json"],
                [p.get("seed"), p["corpus"]],
                ["data/tokens"],
            )
        case "cache":
            entry = coders[coder]
            reads, takes = ["data/tokens", "demo/subject", entry["path"]], [p["subject"], p.get("cache"), entry]
            outs = [f"data/latents/{coder}.zarr"]
        case "sample":
            reads, takes = ["data/tokens", f"data/latents/{coder}.zarr"], [p.get("seed"), p["sampling"]]
            outs = [f"data/examples/{coder}"]
        case "explain":
            reads, takes = ["data/tokens", data / "examples" / coder], [explainers[names[1]]]
            outs = [data / "explanations" / place]
        case "score":
            reads, takes = (
                [data / "examples" / coder, data / "explanations" / place.parent],
                [p.get("seed"), scorers[names[2]]],
            )
            outs = [data / "scores" / place]
        case "compare":
            sampled = [data / "examples" / c for c in coders]
            reads = ["data/tokens", *sampled, *explained, "demo/subject", *(c["path"] for c in coders.values())]
            takes = [p.get("compare")]
            outs = ["data/similarity"]
        case "report":
            scored = [data / "scores" / c / e / s for c in coders for e in explainers for s in scorers]
            reads = ["data/similarity", *(data / "examples" / c for c in coders), *explained, *scored]
            takes, outs = (
                [p.get("report")],
                ["results/plots", "results/report", "results/dataset", "results/metrics"],
            )
    found = json.dumps([stage, names, [content(Path(path)) for path in reads], takes], sort_keys=True)
    for out in map(Path, outs):
        file = out if out.suffix == ".json" else out / "content"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(hashlib.sha256(found.encode()).hexdigest())
    with Path("ran.log").open("a") as log:
        log.write(f"{named(stage, *names)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
