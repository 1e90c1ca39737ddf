from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from stages import params, paths
from stages.errors import GlossaError
from stages.results.reading import Results
from stages.site import assets, coder, work, write
from tests.folders import tree
from tests.site.reading import load, parse, texts


def test_the_same_results_give_the_same_bytes_however_many_write(
    here: Results, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MANY", 0)
    monkeypatch.setenv("GLOSSA_WORKERS", "2")
    monkeypatch.setattr(write, "AT_ONCE", 1)
    assert work.processes(4) == 2
    write.write(tmp_path, params.load(), here)
    assert tree(tmp_path) == tree(report)


def test_every_shard_is_one_call_of_hostile_but_inert_text(report: Path) -> None:
    files = sorted((report / "data").rglob("*.js"))
    assert len(files) > 10
    seen = set()
    for file in files:
        name, value = parse(file.read_bytes())
        assert name == file.relative_to(report / "data").with_suffix("").as_posix()
        seen.update(texts(value))
    invisible = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
    assert not [text for text in seen if invisible.search(text)]
    assert any("</script>" in text for text in seen), "there was something to escape"
    assert "__proto__" in seen


def test_every_kept_latent_of_every_coder_is_in_exactly_one_shard(
    here: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.site import plan

    monkeypatch.setattr(plan, "latents_a_shard", lambda window, windows: 1)
    for name in here.coders:
        found = coder.Coder(here, name, 3)
        found.write(tmp_path, found.plan.numbers)
        shards = [load(tmp_path, f"{name}/latents/{number}") for number in found.plan.numbers]
        assert [[latent["id"] for latent in shard["latents"]] for shard in shards] == [[2], [7]]
        assert [shard["dropped"] for shard in shards] == [[[5, "never fires"]], []]
        for latent in (latent for shard in shards for latent in shard["latents"]):
            assert all(("text" in one) != ("reason" in one) for one in latent["explanations"])
    assert load(tmp_path, "one/verdicts/llm/detection/1")["latents"].keys() == {"7"}


def test_pages_and_what_they_load_are_copied(report: Path) -> None:
    folder = Path(assets.__file__).parent
    for file in folder.iterdir():
        if file.suffix in (".css", ".js"):
            assert (report / "assets" / file.name).read_bytes() == file.read_bytes()
        elif file.suffix == ".html":
            assert (report / file.name).read_bytes() == file.read_bytes()
    assert sorted(file.name for file in report.iterdir()) == [
        "assets",
        "data",
        "index.html",
        "latent.html",
        "latents.html",
        "matches.parquet",
        "similar-latents.html",
    ]
    assert not list(report.rglob("*.py"))


def test_no_place_of_this_machine_is_in_the_report(report: Path, judged: Path) -> None:
    for name, content in tree(report).items():
        assert str(judged).encode() not in content, name


@pytest.mark.parametrize("lost", ["windows.parquet", "verdicts.parquet"])
def test_a_missing_table_is_one_sentence(
    here: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    folders = {"windows.parquet": paths.examples("one"), "verdicts.parquet": paths.scores("one", "llm", "detection")}
    file = folders[lost] / lost
    aside = file.rename(tmp_path / lost)
    try:
        with pytest.raises(GlossaError, match=f"expected the table {file}"):
            write.write(tmp_path, params.load(), here)
    finally:
        aside.rename(file)


def test_a_small_report_is_written_by_this_process_alone(here: Results) -> None:
    assert work.processes(work.MANY - 1) == 1


def test_a_process_that_is_killed_is_one_sentence(
    here: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_do", _killed)
    with pytest.raises(GlossaError, match="one of them was killed"):
        list(work.done([work.Shards("one", range(1))], tmp_path, here, 3, 2))


def _killed(piece: work.Work) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
