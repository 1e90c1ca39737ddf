"""Cases of sae-lens: ``python .ci/architectures/of_sae_lens.py FOLDER``, in Glossa's repository, whose tests write releases in tiny."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import torch
from cases import D_IN, LATENTS, Cases, draw, inputs
from sae_lens import SAE, TrainingSAE, registry

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
LINEAR = ("standard", "topk", "jumprelu", "gated")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
METADATA = {"sae_lens_version": "6.54.12", "sae_lens_training_version": "6.54.12", "hook_name": "blocks.5.hook_resid_post",
            "model_name": "gemma-2-2b", "prepend_bos": True}  # fmt: skip


OTHER_UNITS = ("llama_scope", "llama_scope_r1_distill", "dictionary_learning_1")
"""Loaders that leave latents in the units of training, where their authors' libraries give them others; what is reconstructed is the same."""


def config_of(architecture: str, **more: Any) -> dict[str, Any]:
    """A config of its own spelling."""
    transcoder = "transcoder" in architecture
    config = {
        "architecture": architecture,
        "d_in": D_IN,
        "d_sae": LATENTS,
        "dtype": "float32",
        "device": "cpu",
        "metadata": METADATA,
    }
    if transcoder:
        config |= {"d_out": 6, "apply_b_dec_to_input": False}
    if "topk" in architecture:
        config |= {"k": 4}
    return config | more


def computed(case: Any, coder: Any, x: torch.Tensor) -> None:
    """What a coder of its makes of inputs."""
    with torch.inference_mode():
        case.done(x, coder.encode(x), coder(x))


def inference(cases: Cases) -> None:
    """Every architecture as it is saved for use, with every flag."""
    x = inputs()
    for architecture in LINEAR:
        norms = ["none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"]
        for norm, subtract, rescale in product(
            norms, [False, True], [False, True] if architecture == "topk" else [None]
        ):
            more = {} if rescale is None else {"rescale_acts_by_decoder_norm": rescale}
            average = norm == "expected_average_only_in"
            variant = f"{norm}, b_dec {'' if subtract else 'not '}subtracted{', rescaled' if rescale else ''}"
            case = cases.new(architecture, variant, **({"norm_factor": 0.7} if average else {}))
            coder = SAE.from_dict(
                config_of(architecture, normalize_activations=norm, apply_b_dec_to_input=subtract, **more)
            )
            draw(coder, cases.n)
            coder.save_model(case.coder)
            coder = SAE.load_from_disk(case.coder)
            if average:
                coder.fold_activation_norm_scaling_factor(0.7)
            computed(case, coder, x)
    for architecture in TRANSCODERS:
        for seed in range(3):
            case = cases.new(architecture, f"seed {seed}")
            coder = SAE.from_dict(config_of(architecture))
            draw(coder, cases.n)
            coder.save_model(case.coder)
            computed(case, coder, x)
    for architecture in sorted({*registry.SAE_CLASS_REGISTRY} - {*LINEAR, *TRANSCODERS}):
        case = cases.new(architecture)
        coder = SAE.from_dict(config_of(architecture, d_sae=512, apply_b_dec_to_input=False))
        coder.save_model(case.coder)
        case.done(x, torch.zeros(len(x), 512))


def training(cases: Cases) -> None:
    """Every architecture as a checkpoint of training, against what it saves for use."""
    x = inputs()
    for architecture in sorted(registry.SAE_TRAINING_CLASS_REGISTRY):
        for rescale in [False, True] if "topk" in architecture and architecture != "abstopk" else [None]:
            more: dict[str, Any] = {} if rescale is None else {"rescale_acts_by_decoder_norm": rescale}
            if architecture == "matryoshka_batchtopk":
                more["matryoshka_widths"] = [4, LATENTS]
            case = cases.new(
                f"{architecture}, checkpoint of training", "" if rescale is None else f"rescaled {rescale}"
            )
            config = config_of(architecture, **more)
            coder = TrainingSAE.from_dict(config)
            draw(coder, cases.n)
            if hasattr(coder, "topk_threshold"):
                coder.topk_threshold.fill_(0.4)
            coder.save_model(case.coder)
            coder.save_inference_model(case.folder / "inference")
            computed(case, SAE.load_from_disk(case.folder / "inference"), x)


def releases(cases: Cases) -> None:
    """Every layout of its registry, as its own loaders read it."""
    from sae_lens.loading import pretrained_sae_loaders as loaders

    from tests.coders.registry import layouts
    from tests.coders.registry.peer import theirs

    for release in layouts.releases():
        for layout in release.layouts:
            said = {key: value for key, value in vars(layouts.options(release, layout)).items() if value is not None}
            case = cases.new(
                f"registry, loader {release.loader or 'sae_lens'}", f"{release.name}, {layout['path']}", **said
            )
            if release.loader in OTHER_UNITS:
                case.about["units"] = "own"
            place = layouts.write(release, layout, case.coder)
            path = place.relative_to(case.coder).as_posix()
            if release.loader == "temporal":
                case.done(inputs(), torch.zeros(len(inputs()), LATENTS), None, path)
                continue
            coder = theirs(loaders, release, layout, case.coder)
            with torch.inference_mode():
                x = inputs()
                if said.get(
                    "centre"
                ):  # it computes with what it is given; that the subject was centred is for whoever runs it
                    x = x - x.mean(dim=1, keepdim=True)
                # Its outputs of cross-layer transcoders are sums of decoders, those of embeddings on two scales at once.
                alone = release.loader == "mntss_clt_layer_transcoder" or layout["path"].startswith("embedding")
                case.done(x, coder.encode(x), None if alone else coder(x), path)


def main(folder: Path) -> None:
    """Writes them."""
    cases = Cases(folder, "sae-lens")
    inference(cases)
    training(cases)
    releases(cases)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
