from __future__ import annotations

from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.machine import runtime


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runtime.yaml"


def test_without_a_file_the_defaults_hold(path: Path) -> None:
    assert runtime.load(path) == runtime.Runtime()


def test_an_empty_file_is_no_mistake(path: Path) -> None:
    path.write_text("# nothing\n")
    assert runtime.load(path) == runtime.Runtime()


def test_a_folder_in_its_place_is_a_mistake(path: Path) -> None:
    path.mkdir()
    with pytest.raises(GlossaError, match=r"expected a file of YAML at .*, but that is a folder"):
        runtime.load(path)


def test_the_environment_overrides_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("device: cuda\nbatch_tokens: 64\nshare_forward: true\n")
    assert (runtime.load(path).device, runtime.load(path).batch_tokens) == ("cuda", 64)
    monkeypatch.setenv("GLOSSA_DEVICE", "cpu")
    monkeypatch.setenv("GLOSSA_BATCH_TOKENS", "128")
    monkeypatch.setenv("GLOSSA_SHARE_FORWARD", "false")
    settings = runtime.load(path)
    assert (settings.device, settings.batch_tokens, settings.share_forward) == ("cpu", 128, False)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), ("0.5", 0.5)])
def test_a_number_of_gigabytes_may_be_a_fraction(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: float
) -> None:
    path.write_text(f"keep_gb: {text}\n")
    assert runtime.load(path).keep_gb == value
    monkeypatch.setenv("GLOSSA_KEEP_GB", text)
    assert runtime.load(path.with_name("nowhere.yaml")).keep_gb == value


def test_a_device_may_look_like_a_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSA_DEVICE", "0")
    assert runtime.load(path).device == "0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_token: 5", "runtime.yaml: the file has no key 'batch_token'; did you mean batch_tokens"),
        ("batch_tokens: 0", "runtime.yaml: batch_tokens should be greater than or equal to 1, found 0"),
        ("keep_gb: -1", "runtime.yaml: keep_gb should be greater than or equal to 0, found -1"),
        ("keep_gb: .inf", "runtime.yaml: keep_gb should be a finite number, found inf"),
        ("share_forward: 1", "runtime.yaml: share_forward should be a valid boolean, found 1"),
        ("[device]", "runtime.yaml should be a mapping of keys to values, found ['device']"),
        ("device: [", "runtime.yaml should be YAML, but it can't be read"),
    ],
)
def test_a_mistake_in_the_file_names_the_key(path: Path, text: str, expected: str) -> None:
    path.write_text(text)
    with pytest.raises(GlossaError) as caught:
        runtime.load(path)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "GLOSSA_BATCH_TOKENS",
            "many",
            "GLOSSA_BATCH_TOKENS: batch_tokens should be a valid integer, found 'many'",
        ),
        ("GLOSSA_BATCH_TOKENS", "0", "GLOSSA_BATCH_TOKENS: batch_tokens should be greater than or equal to 1, found 0"),
        ("GLOSSA_SHARE_FORWARD", "1", "GLOSSA_SHARE_FORWARD: share_forward should be a valid boolean, found 1"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    path.write_text("batch_tokens: 64\n")
    monkeypatch.setenv(variable, value)
    with pytest.raises(GlossaError) as caught:
        runtime.load(path)
    assert str(caught.value).startswith(expected)


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runtime.home() == tmp_path / "home"
    monkeypatch.delenv("GLOSSA_HOME")
    monkeypatch.setenv("DVC_ROOT", "/repository")
    assert runtime.home() == Path("/repository/.glossa")
    monkeypatch.delenv("DVC_ROOT")
    assert runtime.home() == Path(".glossa")
