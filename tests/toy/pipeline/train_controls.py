"""Trains a sparse coder on the toy subject as it was before its training, the control of Heap et al. (arXiv 2501.17727)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml
from train_coders import train

from stages import params as glossa_params
from stages.subject.load import load

UNTRAINED = "scratch/untrained"


def main() -> None:
    """Writes ../controls/<name>/."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    section = glossa_params.Subject(model="../subject", weights="random")
    load(section, params["seed"], torch.device("cpu")).model.save_pretrained(UNTRAINED)
    recipe = {**params["coders"], **params["controls"]}
    train(UNTRAINED, np.load("scratch/train.npy"), recipe, params["seed"], Path("../controls"))


if __name__ == "__main__":
    main()
