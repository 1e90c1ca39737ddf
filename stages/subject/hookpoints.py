"""Hookpoints: which part of which module is read, and the forward pass that reads it and stops.

A hookpoint is a module path relative to the base model, as sparsify names them (``layers.2``, ``h.0.mlp``), with an optional
suffix: ``.output`` (the default), ``.input``, or ``.normalized``, which is what a norm computes before its gain and bias. A path
may start with what lies around the base model (``model.``, ``transformer.``, ``gpt_neox.``, ``language_model.``). A name of
TransformerLens (``blocks.2.hook_resid_post``) is looked up in ``sites``.

Crosscoders read several places at once: ``layers.7 + layers.13`` gives what both give, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.errors import GlossaError, nearest
from stages.subject import norms, sites
from stages.subject.load import Subject

AROUND = ("model.", "transformer.", "gpt_neox.", "language_model.")
PLUS = " + "
"""Between the places of a hookpoint that is several."""


class _Reached(Exception):  # noqa: N818 - control flow, not an error
    """Every hookpoint has been read; the rest of the forward pass is not needed."""


@dataclass(frozen=True, eq=False)
class Site:
    """Where a hookpoint is."""

    path: str
    """Of the module, relative to the base model."""
    part: sites.Part
    subject: Subject

    @property
    def module(self) -> nn.Module:
        """The module itself, for which the subject is loaded."""
        return self.subject.modules[self.path]

    @property
    def name(self) -> str:
        """The same for all names of one place."""
        return self.path if self.part == "output" else f"{self.path}.{self.part}"


def split(hookpoint: str) -> list[str]:
    """Returns the places that a hookpoint names, in their order.

    Raises:
        GlossaError: it names one twice, or one without a name.
    """
    parts = [part.strip() for part in hookpoint.split(PLUS.strip())]
    if len(parts) > 1 and (not all(parts) or len(set(parts)) < len(parts)):
        raise GlossaError(
            f"expected places of a model with a + between them, each once, found {hookpoint!r}; correct the hookpoint"
        )
    return parts


def resolve_all(subject: Subject, hookpoint: str) -> list[Site]:
    """Returns where the places of ``hookpoint`` are.

    Raises:
        GlossaError: the subject lacks one, or two names are of the same.
    """
    found = [resolve(subject, part) for part in split(hookpoint)]
    split(PLUS.join(site.name for site in found))
    return found


def name_of(subject: Subject, hookpoint: str) -> str:
    """Returns the name of a hookpoint that is the same whatever its places are called; raises GlossaError as ``resolve_all``."""
    return PLUS.join(site.name for site in resolve_all(subject, hookpoint))


def resolve(subject: Subject, hookpoint: str) -> Site:
    """Returns where ``hookpoint`` is, which is one place.

    Raises:
        GlossaError: the subject has no such place, and the message says why, or lists the nearest; or it is several.
    """
    if len(split(hookpoint)) > 1:
        raise GlossaError(f"expected one place of the subject {subject.name}, found several ({hookpoint}); name one")
    places = subject.places
    if hookpoint in places:
        place = places[hookpoint]
        if isinstance(place, str):
            raise GlossaError(f"the subject {subject.name} has no hookpoint {hookpoint}: {place}")
        return Site(place[0], place[1], subject)
    for path, part in _readings(hookpoint):
        if (kind := subject.kinds.get(path)) is not None:
            if part == "normalized" and not kind.normalizes:
                raise GlossaError(
                    f"the hookpoint {hookpoint} should end in .normalized only behind a LayerNorm or RMSNorm, but {path} of the "
                    f"subject {subject.name} is a {kind.name}"
                )
            return Site(path, part, subject)
    named = hookpoint.startswith(("blocks.", "hook_"))
    if named and not places:
        hint = f"names of TransformerLens are known for {', '.join(sites.FAMILIES)}, so give a module path, as print(model) shows them"
    else:
        hint = nearest(hookpoint, [*subject.kinds, *places] if "." in hookpoint or named else subject.kinds)
    raise GlossaError(f"the subject {subject.name} has no hookpoint {hookpoint}; {hint}")


def activations(subject: Subject, hookpoints: Sequence[str], ids: Tensor) -> dict[str, Tensor]:
    """Runs ``ids`` [rows, length] through the subject as far as the last hookpoint.

    Returns what every hookpoint gives, [rows, length, width]: of an output that is a tuple the first element, of inputs the
    first, of several places all side by side.

    Raises:
        GlossaError: there is no such hookpoint, or the forward pass never calls its module, such as a list of layers.
    """
    resolved = {hookpoint: resolve_all(subject, hookpoint) for hookpoint in hookpoints}
    wanted = {site.name: site for own in resolved.values() for site in own}
    read: dict[str, Tensor] = {}

    def note(site: Site, value: Tensor) -> None:
        read[site.name] = value
        if len(read) == len(wanted):
            raise _Reached

    handles = [_listen(site, subject, note) for site in wanted.values()]
    try:
        with torch.inference_mode():
            subject.base(input_ids=ids.to(subject.device), use_cache=False)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for hookpoint, own in resolved.items():
        if any(site.name not in read for site in own):
            raise GlossaError(
                f"the forward pass of the subject {subject.name} never reads {hookpoint}; hook a module inside it"
            )
    return {hookpoint: _beside([read[site.name] for site in own], hookpoint) for hookpoint, own in resolved.items()}


def _beside(values: list[Tensor], hookpoint: str) -> Tensor:
    """What several places give, side by side."""
    if len(values) == 1:
        return values[0]
    shapes = {tuple(value.shape[:-1]) for value in values}
    if len(shapes) > 1 or values[0].ndim != 3:
        raise GlossaError(
            f"expected a vector at every token of each of {hookpoint}, found others; correct the hookpoint"
        )
    return torch.cat([value.to(values[0].device) for value in values], -1)


def width(subject: Subject, hookpoint: str) -> int:
    """Returns the width of what a hookpoint gives, tried on one token.

    Raises:
        GlossaError: there is no such hookpoint, or the forward pass never reads it.
    """

    def tried() -> int:
        return activations(subject, [hookpoint], torch.zeros(1, 1, dtype=torch.long))[hookpoint].shape[-1]

    return subject.known(f"width of {name_of(subject, hookpoint)}", tried)


@contextmanager
def replaced(subject: Subject, hookpoint: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, what ``function`` makes of a hookpoint's values [rows, length, width] stands in for them.

    Raises:
        GlossaError: there is no such hookpoint, or it is ``.normalized``, which no module gives or takes.
    """
    site = resolve(subject, hookpoint)
    if site.part == "normalized":
        raise GlossaError(
            f"nothing can stand in for {hookpoint} of the subject {subject.name}, which no module gives or takes; "
            f"take {site.path} instead"
        )

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        changed = function(_first_input(site, subject, args, kwargs))
        if args:
            return (changed, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": changed}

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        changed = function(_first_output(site, subject, output))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    if site.part == "input":
        handle = site.module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = site.module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def heard(subject: Subject, hookpoint: str, note: Callable[[Tensor], object]) -> Iterator[None]:
    """While it lasts, ``note`` is told what a hookpoint gives in every forward pass, [rows, length, width].

    Raises:
        GlossaError: there is no such hookpoint.
    """

    def told(site: Site, value: Tensor) -> None:
        note(value)

    handle = _listen(resolve(subject, hookpoint), subject, told)
    try:
        yield
    finally:
        handle.remove()


def _readings(hookpoint: str) -> Iterator[tuple[str, sites.Part]]:
    """Every module path and part that the text of a hookpoint may mean, the most literal first."""
    while True:
        yield hookpoint, "output"
        for part in sites.PARTS:
            if hookpoint.endswith(f".{part}"):
                yield hookpoint.removesuffix(f".{part}"), part
        around = next((prefix for prefix in AROUND if hookpoint.startswith(prefix)), None)
        if around is None:
            return
        hookpoint = hookpoint.removeprefix(around)


def _listen(site: Site, subject: Subject, note: Callable[[Site, Tensor], None]) -> Any:
    """Registers the hook that hands over what ``site`` gives, as soon as it is there."""

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        value = _first_input(site, subject, args, kwargs)
        note(site, value if site.part == "input" else norms.normalized(module, value))

    def after(module: nn.Module, args: Any, output: Any) -> None:
        note(site, _first_output(site, subject, output))

    if site.part == "output":
        return site.module.register_forward_hook(after)
    return site.module.register_forward_pre_hook(before, with_kwargs=True)


def _first_input(site: Site, subject: Subject, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    return _tensor(site, subject, args[0] if args else kwargs.get("hidden_states"))


def _first_output(site: Site, subject: Subject, output: Any) -> Tensor:
    return _tensor(site, subject, output[0] if isinstance(output, tuple) and output else output)


def _tensor(site: Site, subject: Subject, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise GlossaError(
            f"{site.name} of the subject {subject.name} should give a tensor, found {type(value).__name__}; hook another module"
        )
    return value
