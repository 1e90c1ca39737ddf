import json

import pytest

from stages.errors import GlossaError
from stages.llm import load
from stages.llm.forms import labels, odd_one_out, strengths
from stages.llm.providers.pattern import judge, levels, read
from stages.llm.request import Message, Request


@pytest.mark.parametrize(
    ("explanation", "example", "verdict"),
    [
        ('Fires on "is" or "are".', "This is it", True),
        ('Fires on "is" or "are".', "This island", False),
        ('Fires on "-ing".', "a string", True),
        ('Fires on "-ing".', "ing", False),
        ('Fires on "-ing".', "singer", False),
        ('Fires on "pre-".', "a prefix", True),
        ('Fires on "pre-".', "a spree", False),
        ('Fires on "-re-".', "a spree", True),
        ('Fires on "(`".', "x (`y`)", True),
        ('Fires on "is" after "this".', "this is", True),
        ('Fires on "is" after "this".', "that is", False),
        ('Fires on "x" in code examples.', ">>> x = 1\n", True),
        ('Fires on "x" in code examples.', "x = 1\n", False),
        ("Fires on a number.", "page 12", True),
        ("Fires on a number.", "page two", False),
        ('Fires on "a", and makes "tensor" more likely next.', "the tensor", False),
        ("Names of tropical fruits such as mango", "a mango tree", True),
        ("Names of tropical fruits such as mango", "an oak and the like", False),
        ('Fires on "\\n\u2423\u2423".', "one\n  two", True),
        ('Fires on "\\"" or "x".', 'he said "no"', True),
        ('Fires on "\\"" or "x".', "he said no", False),
        ('Fires on "\\u00a0".', "10\u00a0000", True),
        ('Fires on "\\u00a0".', "10 000", False),
        ('Fires on "\\\\" after "a".', "a \\ b", True),
        ('Fires on "<|im_start|>".', "<|im_start|>user\nHi", True),
        ('Fires on "<|im_start|>".', "<|im_end|>", False),
        ('Fires on "user" after "<|im_start|>".', "<|im_start|>user\nHi", True),
        ('Fires on "user" after "<|im_start|>".', "a user", False),
        ("", "anything", False),
    ],
)
def test_judge_takes_an_explanation_at_its_word(explanation: str, example: str, verdict: bool) -> None:
    assert judge(read(explanation), example) is verdict


@pytest.mark.parametrize(
    ("example", "verdict"),
    [
        ("this \u00abis\u00bb it", True),
        ("\u00abthis\u00bb is it", False),
        ("\u00abthis\u00bb \u00abis\u00bb \u00abare\u00bb", True),
        ("\u00abthis\u00bb \u00abis\u00bb", False),
    ],
)
def test_marks_have_to_be_on_what_is_explained(example: str, verdict: bool) -> None:
    assert judge(read('Fires on "is" or "are".'), example) is verdict


def test_answers_every_example_of_a_request_and_nothing_else() -> None:
    text = 'Explanation: "Fires on \\"is\\"."\n\nExamples:\na: "it is"\nb: "no\\nc: \\"is\\""\n'
    request = Request((Message("system", "judge"), Message("user", text)), labels.schema(2))
    (answer,) = load("model", {"provider": "pattern"}).answer([request])
    assert json.loads(answer.content or "") == {"a": True, "b": True}


def test_request_key_depends_on_every_word() -> None:
    one = Request((Message("user", "x"),), labels.schema(1))
    assert one.key == Request((Message("user", "x"),), labels.schema(1)).key
    assert one.key != Request((Message("user", "y"),), labels.schema(1)).key
    assert one.key != Request((Message("user", "x"),), labels.schema(2)).key


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no answer"),
        ("yes", "the answer is no JSON"),
        ("[true, false]", "the answer has other keys than the examples"),
        ('{"a": true}', "the answer has other keys than the examples"),
        ('{"a": true, "b": false, "c": true}', "the answer has other keys than the examples"),
        ('{"a": true, "b": 1}', "the answer has verdicts other than true and false"),
    ],
)
def test_an_answer_of_another_form_is_refused(content: str | None, reason: str) -> None:
    assert labels.read(content, 2) == labels.Labels(None, reason)


def test_an_answer_of_the_right_form_is_read() -> None:
    assert labels.read('{"a": true, "b": false}', 2).verdicts == [True, False]


def test_unknown_provider_and_option_are_named() -> None:
    with pytest.raises(GlossaError, match=r"scorers\.x\.model\.provider is 'patern'.*did you mean pattern"):
        load("scorers.x.model", {"provider": "patern"})
    with pytest.raises(GlossaError, match="has no key 'temperature'"):
        load("scorers.x.model", {"provider": "pattern", "temperature": 0})


@pytest.mark.parametrize(
    ("explanation", "tokens", "expected"),
    [
        ('Fires on "cat".', [" a", " cat", "s", " cat"], [0, 0, 0, 10]),
        ('Fires on "cats".', [" a", " cat", "s", "."], [0, 10, 10, 0]),
        ('Fires on "is" after "this".', ["is", " this", " is"], [0, 0, 10]),
        ("", ["a"], [0]),
        ('Fires on "cat".', [], []),
    ],
)
def test_a_token_is_as_strong_as_can_be_if_it_fits_and_else_nothing(
    explanation: str, tokens: list[str], expected: list[int]
) -> None:
    assert levels(read(explanation), tokens) == expected


def test_strengths_are_asked_for_by_their_schema() -> None:
    tokens = [" the", " cat", '"\n', *[" x"] * 25, " cat"]
    lines = "\n".join(f"{key}: {json.dumps(token)}" for key, token in zip(strengths.keys(29), tokens, strict=True))
    text = f'Explanation: "Fires on \\"cat\\"."\n\nTokens:\n{lines}'
    request = Request((Message("user", text),), strengths.schema(29))
    (answer,) = load("model", {"provider": "pattern"}).answer([request])
    assert strengths.read(answer.content, 29).values == [0, 10, *[0] * 26, 10]


@pytest.mark.parametrize(
    ("examples", "odd"),
    [
        (["a \u00abcat\u00bb", "the \u00abCat\u00bb sat", "a cat \u00abran\u00bb", "one \u00abcat\u00bb"], "c"),
        (["\u00abx y\u00bb", "\u00abz\u00bb", "\u00aby z\u00bb", "\u00abx\u00bb z"], "b"),
        (["red cat", "a dog", "the cat", "cat and dog"], "b"),
        (["\u00aba\u00bb", "\u00abb\u00bb", "\u00abc\u00bb", "\u00abd\u00bb"], "a"),
    ],
)
def test_the_odd_one_shares_its_marked_words_with_the_fewest(examples: list[str], odd: str) -> None:
    lines = "\n".join(f"{key}: {json.dumps(text)}" for key, text in zip("abcd", examples, strict=True))
    request = Request((Message("system", "judge"), Message("user", f"Examples:\n{lines}")), odd_one_out.schema(4))
    (answer,) = load("model", {"provider": "pattern"}).answer([request])
    assert odd_one_out.read(answer.content, 4).place == "abcd".index(odd)
