"""Cases of sparsify: ``python .ci/architectures/of_sparsify.py FOLDER``."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import torch
from cases import D_IN, LATENTS, Cases, draw, inputs
from sparsify import SparseCoder, SparseCoderConfig


def main(folder: Path) -> None:
    """Writes them."""
    cases, x = Cases(folder, "eai-sparsify", "sparsify"), inputs()
    shapes = [{"num_latents": LATENTS}, {"num_latents": 0, "expansion_factor": 2}]
    for activation, transcode, skip, shape in product(["topk", "groupmax"], [False, True], [False, True], shapes):
        kind = "skip transcoder" if transcode and skip else "transcoder" if transcode else "SAE"
        if skip and not transcode:
            kind = "SAE with a skip connection"
        for normalize, multi in ((True, False), (False, True)):
            case = cases.new(f"{kind}, {activation}", f"{shape}, normalize_decoder {normalize}")
            flags = {"activation": activation, "transcode": transcode, "skip_connection": skip, **shape}
            coder = SparseCoder(D_IN, SparseCoderConfig(k=4, normalize_decoder=normalize, multi_topk=multi, **flags))
            draw(coder, seed=cases.n)
            coder.save_to_disk(case.coder / "layers.3.mlp")
            with torch.inference_mode():
                found = coder.encode(x)
                latents = torch.zeros(len(x), LATENTS).scatter(1, found.top_indices, found.top_acts)
                outputs = coder.decode(
                    found.top_acts, found.top_indices
                )  # with multi_topk its forward gives that of 4 k latents
                case.done(x, latents, outputs + x @ coder.W_skip.mT if skip else outputs, "layers.3.mlp")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
