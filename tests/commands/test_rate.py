from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.explainers import seen
from tests.rating.answered import HASHES, furnish_rated, latent, row, write
from tests.results.furnished import HOSTILE


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_rated(tmp_path)


def _run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["rate", *arguments], input=typed)


def _rows(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_lines_become_explanations_that_are_tied_to_what_was_seen() -> None:
    result = _run("one", "--write", "f", "--by", "Ada", "--latents", "2,7", typed="\nCats\n")
    assert (result.exit_code, result.output) == (0, "1 written, in f\n")
    (found,) = _rows("f")
    assert found == row(found["latent"], "Cats", by="Ada")
    other = 9 - found["latent"]
    assert _run("one", "--write", "f", "--by", "Ada", typed="Dogs\nmore\n").output.startswith(
        "1 written, in f\nError: "
    )
    assert [one["latent"] for one in _rows("f")] == [found["latent"], other]
    assert _run("one", "--write", "f", "--by", "Bob", typed="Cats\nDogs\n").output == "2 written, in f\n"
    assert _run("two", "--write", "f", typed="Cats\n").output == "1 written, in f\n"
    assert _rows("f")[-1]["coder_sha256"] == HASHES["two"]


@pytest.mark.parametrize(("option", "place"), [("--write", "circle"), ("--into", "/proc/f")])
def test_a_file_that_cant_be_written_is_said_before_anything_is_typed(option: str, place: str) -> None:
    Path("circle").symlink_to("circle")
    result = _run("one", option, place, typed="Cats\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"expected a place for a file of answers at {place}, but can't write there: " in result.stderr


def test_ratings_are_of_texts_and_nobody_is_told_whose() -> None:
    sheet = _run("one", "--into", "r", "--sheet").output
    assert "pattern" not in sheet
    assert "llm" not in sheet
    assert "the word cat" in sheet
    assert _run("one", "--into", "r", typed="1\n2\n3\n").output == "3 rated, in r\n"
    found = _rows("r")
    assert {(one["latent"], one["explanation"]) for one in found} == {(2, "the word cat"), (2, HOSTILE), (7, "dogs")}
    assert [one["rating"] for one in found] == [1, 2, 3]
    assert _run("one", "--into", "r", typed="1\n").exit_code == 1
    assert _run("one", "--into", "s", "--explainer", "pattern", typed="4\n").output == "1 rated, in s\n"
    assert _rows("s")[0]["explanation"] == "the word cat"


def test_a_sheet_shows_train_windows_alone_and_can_be_piped_back() -> None:
    sheet = _run("one", "--write", "f", "--by", "A B", "--windows", "2", "--latents", "2", "--sheet").output
    label = f"2.{sheet.splitlines()[-1][2:8]}"
    assert sheet == (
        "# glossa rate one --write f --by 'A B' --latents 2 --windows 2 < SHEET\n"
        "# Write behind the labels; what stays empty is skipped.\n"
        "\n"
        "# one, latent 2    1 of 1\n"
        "  10  « cat»</script> a a\n"
        "   6   a«é» a\n"
        f"{label}: \n"
    )
    assert not Path("f").exists()
    filled = sheet.replace(f"{label}: ", f"{label}: Cats")
    assert _run("one", "--write", "f", "--windows", "2", "--latents", "2", typed=filled).output == "1 written, in f\n"
    assert _rows("f") == [row(2, "Cats", windows=2)]
    assert "which is not asked" in _run("one", "--write", "g", typed=filled).output  # of all windows
    assert seen.sha256(latent(2), 2) != seen.sha256(latent(2), 20)
    assert "one, latent" not in _run("one", "--write", "f", "--windows", "2", "--latents", "2", "--sheet").output


def test_the_first_so_many_are_the_same_for_everyone() -> None:
    _run("one", "--write", "f", "--n", "1", typed="Cats\n")
    _run("one", "--write", "g", "--n", "1", "--by", "Bob", typed="Cats\n")
    assert _rows("f")[0]["latent"] == _rows("g")[0]["latent"]
    assert "0 written" in _run("one", "--write", "f", "--n", "1", typed="Dogs\n").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ono", "--write", "f"), "params.yaml has no coder ono; did you mean one?"),
        (("one",), "give either --write FILE or --into FILE"),
        (("one", "--write", "f", "--into", "g"), "give either --write FILE or --into FILE"),
        (("one", "--write", "f", "--explainer", "llm"), "--explainer goes with --into"),
        (("one", "--into", "f", "--explainer", "lm"), "params.yaml has no explainer lm; did you mean llm?"),
        (
            ("one", "--write", "f", "--latents", "2,x"),
            "--latents should be numbers of latents such as 3,17, found '2,x'",
        ),
        (("one", "--write", "f", "--latents", "5"), "latent 5 of one was sampled but dropped: never fires"),
        (("one", "--write", "no/f"), "expected a folder for no/f"),
        (
            ("one", "--write", "rated"),
            "expected a row of glossa/written version 1 in line 1 of rated, found glossa/rated version 1",
        ),
        (("one", "--write", "damaged"), "expected a row of glossa/written in line 2 of damaged, but it is no JSON"),
        (("one", "--write", "other"), "found some about another of that name, 999999999999; choose another file"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    write(Path("rated"), row(2, "a", schema="glossa/rated"))
    Path("damaged").write_text(json.dumps(row(2, "a")) + "\n{\n")
    write(Path("other"), row(2, "a", coder_sha256="9" * 64))
    result = _run(*arguments, typed="a\n")
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert not Path("f").exists()


def test_a_reader_at_a_terminal_is_asked_until_he_quits() -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.environ.pop("NO_COLOR", None)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "90"}
        os.execv(sys.executable, [sys.executable, "-m", "stages", "rate", "one", "--into", "r", "--by", "Ada"])
    shown = b""
    for typed in (b"9\n", b"3\n", b"\n", b"q\n"):
        while not shown.endswith(b"1 to 4: "):
            shown += os.read(terminal, 4096)
        os.write(terminal, typed)
        shown += os.read(terminal, 1)
    try:
        while more := os.read(terminal, 4096):
            shown += more
    except OSError:  # Linux tells so that the other end is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    text = shown.decode()
    assert "\x1b[38;5;16m\x1b[48;5;202m cat\x1b[0m" in text
    assert "«" not in text
    assert "expected a rating from 1 to 4, found '9'" in text
    assert "1 rated, in r" in text
    assert "\u202e" not in text
    (found,) = _rows("r")
    assert (found["rating"], found["by"]) == (3, "Ada")
