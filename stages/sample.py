"""Stage ``sample``: data/latents/<coder>.zarr and data/tokens -> data/examples/<coder>."""

from __future__ import annotations

import click

from stages import params, paths
from stages.corpus.tokens import Tokens, identity_of
from stages.errors import check_name
from stages.examples import table
from stages.examples.sample import sample
from stages.latents.store import LatentStore
from stages.machine.counted import counted
from stages.outputs import hashes, new_directory, write_meta, write_table

READS = ("seed", "sampling")
"""Of params.yaml."""


@click.command("sample")
@click.argument("coder")
def command(coder: str) -> None:
    """Choose latents of CODER and the windows to explain and test them with."""
    p = params.load()
    check_name("coder", coder, p.coders)
    p = params.only(p, *READS)
    store = LatentStore.open(paths.latents(coder))
    tokens = Tokens.open()
    with new_directory(paths.examples(coder)) as partial:
        with table.WindowsWriter(partial / "windows.parquet") as windows:
            sampled = sample(store, tokens, p.sampling, p.seed, coder, windows.add)
        kept = len(sampled.latents) - sum(sampled.dropped.values())
        meta = {
            "coder": store.meta["coder"],
            "subject": store.meta["subject"],
            "hookpoint": store.meta["hookpoint"],
            **{key: store.meta[key] for key in ("writes",) if key in store.meta},
            "n_latents": store.shape[0],
            "n_events": store.meta["n_events"],
            "dead": int((store.statistic("count") == 0).sum()),
            "tokens_sha256": tokens.sha256,
            "made_from": {tokens.directory.as_posix(): identity_of(tokens)},
            "window": p.sampling.window,
            "chosen": len(sampled.latents),
            "kept": kept,
            "dropped": sampled.dropped,
            **sampled.facts,
        }
        write_table(partial / "latents.parquet", sampled.latents)
        write_meta(partial, table.SCHEMA, table.VERSION, {**meta, "files": hashes(partial)})
    reasons = "".join(f"; {n} {reason}" for reason, n in sorted(sampled.dropped.items()))
    click.echo(
        f"sample {coder}: {kept} of {counted(len(sampled.latents), 'latent')}, {counted(windows.rows, 'window')}{reasons}"
    )
    for name, n in sampled.facts["fewer"].items():
        click.echo(f"  {n} of them have fewer {name} windows than were asked for")
