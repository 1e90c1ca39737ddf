from __future__ import annotations

from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.llm.providers.identity import identity
from tests.llm import small_models


def test_the_identity_is_of_the_files_and_the_type(tmp_path: Path) -> None:
    folder = small_models.make(tmp_path / "one")
    found = {identity(str(folder), None, dtype) for dtype in ("float32", "bfloat16")}
    folder.rename(tmp_path / "two")
    assert identity(str(tmp_path / "two"), None, "float32") in found
    (tmp_path / "two" / "README.md").write_text("read me")
    identity.cache_clear()
    assert identity(str(tmp_path / "two"), None, "float32") in found
    for name in ("chat_template.jinja", "generation_config.json", "tokenizer.json", "model.safetensors"):
        with (tmp_path / "two" / name).open("ab") as file:
            file.write(b" ")
        identity.cache_clear()
        found.add(identity(str(tmp_path / "two"), None, "float32"))
    assert len(found) == 6
    with pytest.raises(
        GlossaError, match=r"models\.\*\.model should be a causal language model, but no/such is not here"
    ):
        identity("no/such", None, "float32")
