"""The one canonical form of a sparse coder."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from stages.coders.activations import Activation, Events, GroupMax, TopK, compact, join
from stages.coders.writes import Write

CELLS = 2**26
"""Pre-activations held at once by default: 256 MB in float32."""

FEWEST_ROWS = 512
"""Inputs below which a block is cut across latents instead, so that the product stays a large one."""

InputNorm = Literal["none", "centre", "constant_norm", "layer_norm"]
EPSILON = 1e-5


@dataclass(frozen=True, eq=False)
class SparseCoder:
    """A sparse autoencoder, transcoder or set of neurons: ``activation((norm(x) - b_pre) W_encᵀ + b_enc)``.

    Shapes: W_enc [latents, d_in], b_enc [latents], W_dec [latents, d_out], b_dec [d_out], b_pre [d_in], W_skip
    [d_out, d_in]. Without W_enc the latents are the inputs themselves (neurons); without W_dec nothing can be decoded. A crosscoder
    reads several places side by side, so its d_in is the sum of their widths.

    ``input_norm`` acts on every input before all else: ``centre`` subtracts its mean; ``constant_norm`` scales it to the
    norm √d_in; ``layer_norm`` subtracts its mean and divides by its standard deviation (unbiased) plus 1e-5. What it takes
    away, the reconstruction of ``constant_norm`` and ``layer_norm`` puts back. A constant scale is folded into the weights.
    """

    W_enc: Tensor | None
    b_enc: Tensor
    W_dec: Tensor | None
    b_dec: Tensor
    b_pre: Tensor
    activation: Activation
    source: str
    """Where it was read from, for messages."""
    identity: dict[str, Any]
    """``sha256`` over all that decides its activations, and the facts that went into it."""
    W_skip: Tensor | None = None
    input_norm: InputNorm = "none"
    hookpoint: str | None = None
    """Where it reads the subject, if its files say so."""
    reconstructs: str | None = None
    """The hookpoint whose values it reconstructs, if its files say so; those it reads when None."""
    published_l0: float | None = None
    """Mean number of active latents a token, if its files say so."""
    prepend_bos: bool | None = None
    """Whether rows began with a BOS in its training, if its files say so."""
    writes: tuple[Write, ...] = ()
    """What its latents write to each of several places, of a crosscoder or of a layer of a cross-layer transcoder; else none."""
    values_folded: bool = False
    """Whether it was trained on attention heads whose constant part TransformerLens had moved away; see ``folding``."""

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.b_pre.shape[0]

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return self.b_enc.shape[0]

    @property
    def device(self) -> torch.device:
        """Where its tensors lie."""
        return self.b_enc.device

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> SparseCoder:
        """The same coder with its tensors on ``device``, in ``dtype`` if that is given."""
        return _moved(self, device, dtype)

    def encode(self, x: Tensor, cells: int = CELLS) -> Events:
        """Returns the active latents of ``x`` [inputs, d_in].

        At most about ``cells`` pre-activations are held at once: a block of inputs by all latents or, of a wide coder, some
        inputs by a block of latents. The result does not depend on it but for rounding.
        """
        x = self._prepared(x)
        rows = max(min(FEWEST_ROWS, len(x)), cells // self.n_latents, 1)
        parts = []
        for start in range(0, len(x), rows):
            block = x[start : start + rows]
            found = self._encode(block, max(1, cells // len(block)))
            parts.append(Events(found.rows + start, found.latents, found.values))
        if not parts:
            none = torch.zeros(0, dtype=torch.long, device=self.device)
            return Events(none, none, x.new_zeros(0))
        return join(parts, by_row=False)

    def decode(self, events: Events, x: Tensor) -> Tensor:
        """Returns the reconstruction, [inputs, d_out], that ``events`` make of the inputs ``x`` [inputs, d_in].

        Raises:
            ValueError: the coder has no decoder.
        """
        if self.W_dec is None:
            raise ValueError("a coder without W_dec can't decode")
        x = x.to(self.b_enc.dtype)
        shape = (len(x), self.n_latents)
        sparse = torch.sparse_coo_tensor(
            torch.stack([events.rows, events.latents]), events.values, shape, check_invariants=False
        )
        y = torch.sparse.mm(sparse, self.W_dec) + self.b_dec
        if self.W_skip is not None:
            y = y + x @ self.W_skip.T
        if self.input_norm in ("constant_norm", "layer_norm"):
            y = y * self.gain(x)
        return y + x.mean(dim=1, keepdim=True) if self.input_norm == "layer_norm" else y

    def gain(self, x: Tensor) -> Tensor:
        """Returns by what the rows of W_dec are multiplied in the reconstruction of the inputs ``x`` [inputs, d_in], [inputs, 1]."""
        if self.input_norm == "constant_norm":
            return x.norm(dim=1, keepdim=True) / self.d_in**0.5
        if self.input_norm == "layer_norm":
            return x.std(dim=1, keepdim=True)  # no EPSILON, as in its training
        return torch.ones_like(x[:, :1])

    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the reconstruction, [inputs, d_out], of ``x`` [inputs, d_in]."""
        return self.decode(self.encode(x), x)

    def _prepared(self, x: Tensor) -> Tensor:
        x = x.to(self.b_enc.dtype)
        if self.input_norm == "constant_norm":
            x = x * (self.d_in**0.5 / x.norm(dim=1, keepdim=True))
        elif self.input_norm != "none":
            x = x - x.mean(dim=1, keepdim=True)
            if self.input_norm == "layer_norm":
                x = x / (x.std(dim=1, keepdim=True) + EPSILON)
        return x - self.b_pre

    def _pre_activations(self, x: Tensor, first: int, last: int) -> Tensor:
        if self.W_enc is None:
            return x[:, first:last] + self.b_enc[first:last]
        return torch.addmm(self.b_enc[first:last], x, self.W_enc[first:last].T)

    def _encode(self, x: Tensor, columns: int) -> Events:
        match self.activation:
            case TopK(k, signed):
                return self._top(x, columns, k, signed)
            case GroupMax(k):
                size = self.n_latents // k
                return self._largest_of_groups(x, max(size, columns // size * size), size)
            case elementwise:
                parts = []
                for first in range(0, self.n_latents, columns):
                    h = self._pre_activations(x, first, min(first + columns, self.n_latents))
                    parts.append(compact(*elementwise.active(h, first), first))
                return join(parts, by_row=True)

    def _top(self, x: Tensor, columns: int, k: int, signed: bool) -> Events:
        values = latents = None
        for first in range(0, self.n_latents, columns):
            h = self._pre_activations(x, first, min(first + columns, self.n_latents))
            best, which = h.topk(min(k, h.shape[1]), dim=1, sorted=False)
            which = which + first
            if values is None or latents is None:
                values, latents = best, which
            else:
                values, latents = torch.cat([values, best], 1), torch.cat([latents, which], 1)
                values, chosen = values.topk(min(k, values.shape[1]), dim=1, sorted=False)
                latents = latents.gather(1, chosen)
        assert values is not None  # a coder has at least one latent
        assert latents is not None
        kept = compact(values != 0 if signed else ~(values <= 0), values, 0)
        return Events(kept.rows, latents[kept.rows, kept.latents], kept.values)

    def _largest_of_groups(self, x: Tensor, columns: int, size: int) -> Events:
        parts = []
        for first in range(0, self.n_latents, columns):
            h = self._pre_activations(x, first, min(first + columns, self.n_latents))
            values, which = h.reshape(len(x), -1, size).max(dim=2)
            kept = compact(~(values <= 0), values, 0)
            latents = first + kept.latents * size + which[kept.rows, kept.latents]
            parts.append(Events(kept.rows, latents, kept.values))
        return join(parts, by_row=True)


def _moved(value: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """``value`` with every tensor in it, and in the dataclasses in it, on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device, dtype)
    if is_dataclass(value) and not isinstance(value, type):
        found = {f.name: getattr(value, f.name) for f in fields(value)}
        moved = {name: _moved(part, device, dtype) for name, part in found.items()}
        return replace(value, **moved) if any(moved[name] is not found[name] for name in found) else value
    return value
