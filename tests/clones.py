"""A copy of the repository with small params and fake weights, in which dvc.yaml can be wired and run by DVC."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from stages.cli import main

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("stages", ".dvc/config", ".dvcignore", ".gitignore", "constraints.txt", "dvc.yaml", "runtime.yaml")
PARAMS: dict[str, Any] = {  # whatever may be left out is left out
    "corpus": {"source": "installed-docs", "packages": ["numpy"], "context_length": 128, "tokens": 1000},
    "subject": {"model": "demo/subject"},
    "coders": {
        "one": {"path": "demo/coders/one", "format": "sparsify", "hookpoint": "layers.1"},
        "two": {"path": "demo/coders/two", "format": "sparsify", "hookpoint": "layers.2"},
    },
    "sampling": {"latents": {"random": 5}},
    "explainers": {"pattern": {"kind": "pattern"}},
    "scorers": {
        "detection": {"kind": "detection", "model": {"provider": "pattern"}},
        "fuzzing": {"kind": "fuzzing", "model": {"provider": "pattern"}},
    },
}


class Clone:
    """The copy in ``folder``, which must be the current one for ``wire``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.params = copy.deepcopy(PARAMS)
        (folder / ".dvc").mkdir(parents=True)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)
        (folder / "demo/subject").mkdir(parents=True)
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            self.write(f"demo/subject/{name}", name)
        for name in self.params["coders"]:
            self.write(f"demo/coders/{name}/sae.safetensors", name)
        self.write_params()

    def write(self, name: str, text: str) -> None:
        """Writes a file, and the folders that it needs."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def write_params(self) -> None:
        """Writes ``params`` as JSON, which is YAML too."""
        self.write("params.yaml", json.dumps(self.params, indent=1))

    def append(self, name: str, text: str) -> None:
        """Appends to a file."""
        with (self.folder / name).open("a") as file:
            file.write(text)

    def glossa(self, *arguments: str) -> Result:
        """Runs the real command line."""
        return CliRunner().invoke(main, arguments)

    def wire(self) -> str:
        """Runs ``glossa wire`` and returns what it says."""
        result = self.glossa("wire")
        assert result.exit_code == 0, result.output
        return result.output
