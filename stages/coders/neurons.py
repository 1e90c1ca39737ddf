"""The neurons of an MLP as a sparse coder: on every token the k largest count, with their sign.

Paulo et al. (arXiv 2410.13928) compare sparse autoencoders with the top 32 and the top 256 neurons.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import TopK
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.outputs import fingerprint
from stages.subject.hookpoints import Site, resolve
from stages.subject.load import Subject

DOWN = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "wo")
"""What model families call the projection from the neurons of an MLP to the residual stream."""


def load(subject: Subject, hookpoint: str, k: int) -> SparseCoder:
    """Returns the neurons of the MLP at ``hookpoint``, read at the input of its down projection.

    The hookpoint is the MLP (``layers.2.mlp``), the input of the projection (``layers.2.mlp.down_proj.input``) or
    TransformerLens' ``blocks.2.mlp.hook_post``. W_dec [neurons, width] is the projection: what one neuron writes.

    Raises:
        GlossaError: there is no such hookpoint, it is no MLP, or it has fewer than ``k`` neurons.
    """
    site = _neurons(subject, resolve(subject, hookpoint))
    weight = written(site.module)
    n, width = weight.shape
    if k > n:
        raise GlossaError(
            f"k should be at most {n}, the neurons at {site.name} of the subject {subject.name}, found {k}"
        )
    bias: Any = getattr(site.module, "bias", None)
    facts = {"format": "neurons", "subject_sha256": subject.identity["sha256"], "hookpoint": site.name, "k": k}
    return SparseCoder(
        W_enc=None,
        b_enc=torch.zeros(n),
        W_dec=weight,
        b_dec=torch.zeros(width) if bias is None else bias.detach().float().cpu(),
        b_pre=torch.zeros(n),
        activation=TopK(k, signed=True),
        source=f"the neurons at {site.name} of {subject.name}",
        identity={**facts, "sha256": fingerprint(facts)},
        hookpoint=site.name,
    )


def written(projection: Any, block: int = 1024) -> Tensor:
    """Returns what each input of a linear module adds to its output, float32 [inputs, outputs], without the bias."""
    from transformers.pytorch_utils import Conv1D

    weight = projection.weight.detach()
    if isinstance(projection, Conv1D):
        return weight.float().cpu()
    if weight.is_floating_point():
        return weight.T.float().cpu().contiguous()
    # A quantized weight has a layout of its own; what it does to one input at a time is plain.
    n = projection.in_features
    parts = []
    with torch.inference_mode():
        zero = projection(torch.zeros(1, n, device=weight.device))
        for first in range(0, n, block):
            unit = torch.zeros(min(block, n - first), n, device=weight.device)
            unit[:, first : first + len(unit)] = torch.eye(len(unit), device=weight.device)
            parts.append((projection(unit) - zero).float().cpu())
    return torch.cat(parts)


def _neurons(subject: Subject, site: Site) -> Site:
    """The input of a down projection."""
    if site.part == "input" and getattr(getattr(site.module, "weight", None), "ndim", 0) == 2:
        return site
    if site.part == "output":
        for name in DOWN:
            path = f"{site.path}.{name}"
            if path in subject.kinds:
                return Site(path, "input", subject)
    raise GlossaError(
        f"the hookpoint of neurons should be an MLP or the input of its down projection, found {site.name} of the subject "
        f"{subject.name}"
    )
