import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file

from stages import params, paths
from stages.cli import main
from stages.embeddings.embedder import Embedder
from stages.explainers.table import texts
from stages.similarity import embedded, nearby, reading, table
from tests.similarity.planted import KINDS, ORDER, change, explain, setting

ITSELF = {latent: place for place, latent in enumerate(ORDER.tolist())}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["similar", *arguments])


def found(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_nearest_by_every_similarity(planted: Path) -> None:
    shown = found("one", "3", "--nearest", "2")
    assert (shown["coder"], shown["latent"], shown["explanation"]) == ("one", 3, KINDS[3])
    own, other = shown["relatives"]
    assert (own["coder"], other["coder"]) == ("one", "two")
    directions = load_file("coders/one/sae.safetensors")["W_dec"]
    cosines = directions @ directions[3]
    cosines[3] = -2
    (nearest, _) = own["decoder"]["relatives"]
    assert (nearest["latent"], nearest["value"]) == (cosines.argmax(), pytest.approx(cosines.max()))
    assert nearest["explanation"] == KINDS[nearest["latent"] % 4]
    for kind in ("decoder", "encoder"):
        best, second = other[kind]["relatives"]
        assert (best["latent"], best["value"]) == (ITSELF[3], pytest.approx(1, abs=1e-5))
        assert second["value"] < best["value"]
    alike = own["meaning"]["relatives"]
    assert [relative["explanation"] for relative in alike] == [KINDS[3]] * 2
    assert [relative["latent"] for relative in alike] == [7, 11], "itself left out, equal ones in order"
    fires = other["activations"]["relatives"]
    assert len(fires) == 2
    assert 1 >= fires[0]["value"] >= fires[1]["value"] >= -1


def test_what_was_looked_up_is_found_at_once_the_next_time(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once data/similarity holds the embeddings: the same relatives, and no weight is read."""
    p = params.load()
    explainer = next(iter(p.explainers))
    vectors = embedded.vectors(p, reading.every(reading.said(p, texts)))
    nothing = table.Content(table.matches_schema().empty_table(), table.splits_schema().empty_table(), {}, vectors, {})
    table.write(paths.SIMILARITY, nothing._replace(meta={"pairs": [], "embedder": embedded.load(p).identity}))
    first = found("two", "6", "--nearest", "4", "--explainer", explainer)
    monkeypatch.setattr("stages.commands.similar._looked_up", None)
    second = found("two", "6", "--nearest", "4", "--explainer", explainer)
    assert first["explanation"] == second["explanation"]
    for one, other in zip(first["relatives"], second["relatives"], strict=True):
        for kind in ("decoder", "encoder", "activations", "meaning"):
            assert one[kind]["reason"] == other[kind]["reason"]
            assert [r["value"] for r in one[kind]["relatives"]] == pytest.approx(
                [r["value"] for r in other[kind]["relatives"]], abs=1e-5
            )
    best = second["relatives"][0]["decoder"]["relatives"][0]
    assert best["value"] == pytest.approx(1, abs=1e-5), "the other seed's copy"
    shutil.rmtree(paths.latents("two"))
    without = found("two", "6", "--explainer", explainer)["relatives"]
    assert {one["activations"]["reason"] for one in without} == {nearby.NOT_HERE}


def test_what_was_kept_of_other_weights_is_not_taken(planted: Path) -> None:
    meta = {"coder": {"sha256": "a"}, "subject": {"sha256": "b"}, "hookpoint": "layers.0"}
    made = nearby.Directions(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), "x", "x")
    nearby.keep("one", meta, made)
    again = nearby.kept("one", meta)
    assert again is not None
    assert (again.decoder == made.decoder).all()
    for other in ({"coder": {"sha256": "c"}}, {"subject": {"sha256": "c"}}, {"hookpoint": "layers.1"}):
        assert nearby.kept("one", {**meta, **other}) is None


def test_what_is_not_there_is_said(planted: Path) -> None:
    shutil.rmtree(paths.latents("two"))
    shutil.rmtree("coders/two")
    own, other = found("one", "5")["relatives"]
    assert own["meaning"] == {
        "reason": "the latent has no such similarity: it never fires, or has no explanation",
        "relatives": [],
    }
    assert len(own["activations"]["relatives"]) == 3
    assert other["decoder"]["reason"].startswith("a coder's path should be a folder or a file, but there is none at")
    assert other["activations"]["reason"] == "the activations of both coders are not in data/latents; run dvc repro"


def test_a_coder_of_another_project_is_related_by_meaning_alone(planted: Path, tmp_path: Path) -> None:
    for path in (paths.examples("two"), paths.explanations("two", "pattern")):
        shutil.copytree(path, tmp_path / "other" / path)
    setting(others={"theirs": {"path": str(tmp_path / "other"), "coder": "two"}})
    theirs = found("one", "3")["relatives"][2]
    assert theirs["coder"] == "theirs"
    assert theirs["decoder"]["reason"] == "a coder of another project has no weights or activations here"
    assert [r["explanation"] for r in theirs["meaning"]["relatives"]] == [KINDS[3]] * 3


def test_people_read_lines(planted: Path) -> None:
    explain("two", {ITSELF[3]: "a dog\n\x1b[31m", ITSELF[4]: None})
    output = run("one", "3", "--nearest", "1").stdout
    lines = output.splitlines()
    assert lines[:2] == ["one, latent 3", f"  {KINDS[3]}"]
    assert "two" in lines
    assert f"   1.00  {ITSELF[3]:<7} a dog ⟨U+001B⟩[31m" in lines
    assert "\x1b" not in output


def test_embeddings_that_were_stored_are_used(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(main, ["compare"]).exit_code == 0
    monkeypatch.setenv("GLOSSA_HOME", str(planted / "fresh"))
    monkeypatch.setattr(Embedder, "stream", lambda *_: pytest.fail("nothing is to be embedded"))
    before = found("one", "3")
    assert before["relatives"][1]["meaning"]["relatives"]
    assert not (planted / "fresh/embeddings.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ono", "3"), "params.yaml has no coder ono; did you mean one?"),
        (("one", "24"), "the coder one has latents 0 to 23, but no 24"),
        (("one", "3", "--explainer", "patern"), "params.yaml has no explainer patern; did you mean pattern?"),
    ],
)
def test_mistakes_are_one_sentence(planted: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_two_explainers(planted: Path) -> None:
    change("  pattern: {kind: pattern}", "  pattern: {kind: pattern}\n  other: {kind: pattern}")
    for coder in ("one", "two"):
        explain(coder, {3: "the dog"}, "other")
    assert found("one", "3", "--explainer", "other")["explanation"] == "the dog"
