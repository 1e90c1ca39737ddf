"""A made-up report with everything behind its latents."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.site.browser.made_up import (
    EVERY,
    HOSTILE,
    ROWS,
    SCORERS,
    SHARD,
    WINDOW,
    WORDS,
    manifest,
    sentence,
    write_assets,
    write_data,
)


class Small:
    """Three coders, two explainers, six scorers, and all that lies behind their latents; hostile where asked."""

    def __init__(self, folder: Path, hostile: bool = False) -> None:
        self.folder = folder
        self.hostile = hostile
        self.n = 6 if hostile else 48
        self.draw = random.Random(1)
        self.strings: list[Any] = [
            ["<|endoftext|>"],
            *(f" {word}" for word in WORDS),
            ".\n",
            "naïve",
            "é",
            "",
            "\tx",
            "</b>",
        ]

    def text(self, text: str) -> str:
        """The text, with the payload behind it where asked."""
        return f"{text} {HOSTILE}" if self.hostile else text

    def write(self) -> None:
        """Writes the whole report."""
        write_assets(self.folder)
        if self.hostile:
            self.strings = [
                *(self.text(text) if isinstance(text, str) and text else text for text in self.strings[1:]),
                [HOSTILE],
            ]
        kinds = {"resid2": "coder", "mlp2": "coder", "floor2": "random"}
        coders = [self.coder(name, kind) for name, kind in kinds.items()]
        settings = [["kind", "simple"], ["model", self.text("some/model")], ["prompt", "sha256 " + 64 * "a"]]
        facts: dict[str, Any] = {"explainer_facts": {"llm": settings}, "scorer_facts": {"detection": settings}}
        facts["explainers_made"] = {"llm": self.text("hand-written by Ada, from the train windows")}
        scorers = [scorer | {"metric": self.text(scorer["metric"])} for scorer in SCORERS]
        write_data(
            self.folder,
            "manifest",
            manifest(coders, ["pattern", "llm"], scorers, subject=self.text("a/subject"), **facts),
        )

    def coder(self, name: str, kind: str) -> dict[str, Any]:
        """Writes all about one coder and returns its entry in the manifest."""
        ids = [EVERY * place for place in range(self.n)]
        latents = [self.latent(name, latent) for latent in ids]
        pieces = [latents[start : start + ROWS] for start in range(0, self.n, ROWS)]
        for number, piece in enumerate(pieces):
            write_data(self.folder, f"{name}/table/{number}", self.table(piece))
        for number in range(0, self.n, SHARD):
            self.shard(name, number // SHARD, latents[number : number + SHARD], behind=kind == "coder")
        firsts = [ids[start] for start in range(0, self.n, SHARD)]
        numbers = list(range(len(firsts)))
        keys = [_key(explainer, scorer) for explainer in ("pattern", "llm") for scorer in SCORERS]
        return {
            "name": name,
            "kind": kind,
            "hookpoint": self.text("layers.2"),
            "n_latents": EVERY * self.n,
            "kept": self.n,
            "chosen": self.n + 1,
            "dropped": [["fires too rarely", 1]],
            "table": [ids[start] for start in range(0, self.n, ROWS)],
            "shards": firsts,
            "windows": numbers if kind == "coder" else [],
            "verdicts": dict.fromkeys(keys, numbers) if kind == "coder" else {},
            "made": dict.fromkeys(("pattern", "llm"), numbers) if kind == "coder" else {},
            "matched_by": "decoder direction",
            **({"writes": [self.text(f"layers.{layer}.mlp") for layer in (2, 3)]} if name == "mlp2" else {}),
            "provenance": [
                ["subject", self.text("a/subject at 0123abc")],
                ["coder's file", "sha256 " + 64 * "b"],
                ["corpus", "sha256 " + 64 * "c"],
            ],
        }

    def table(self, latents: list[dict[str, Any]]) -> dict[str, Any]:
        """The rows of some latents."""
        scores: dict[str, list[float | None]] = {}
        for latent in latents:
            for explanation in [*latent["explanations"], {"explainer": "latent", "scores": latent["scores"]}]:
                for scorer in SCORERS:
                    if scorer["of_latents"] == (explanation["explainer"] == "latent"):
                        score = explanation.get("scores", {}).get(scorer["name"])
                        found = score[0] if isinstance(score, list) else None
                        scores.setdefault(f"{explanation['explainer']}/{scorer['name']}", []).append(found)
        texts = {
            name: [latent["explanations"][place].get("text") for latent in latents]
            for place, name in enumerate(("pattern", "llm"))
        }
        plain = {
            key: [latent[of] for latent in latents]
            for key, of in (("latent", "id"), ("density", "density"), ("max", "max"))
        }
        return plain | {"explanations": texts, "scores": scores}

    def latent(self, coder: str, latent: int) -> dict[str, Any]:
        """All that a latent's page shows at once."""
        draw = self.draw
        words = draw.sample(WORDS, 2)
        texts = [f"Fires on “{words[0]}” or “{words[1]}”.", f"{sentence(draw)[:-1]}, number {latent} of {coder}."]
        explanations: list[dict[str, Any]] = [
            {
                "explainer": name,
                "text": self.text(text),
                "scores": {s["name"]: self.score(s, latent) for s in SCORERS if not s["of_latents"]},
            }
            for name, text in zip(("pattern", "llm"), texts, strict=True)
        ]
        if latent % 21 == 18:
            explanations[1] = {"explainer": "llm", "reason": self.text("the model's answer could not be read")}
        strongest = [self.window(1, 30 - place, 7 * place) for place in range(4)]
        others = [self.window(decile, 25 - 2 * decile, 1000 * decile) for decile in range(1, 11)]
        return {
            "id": latent,
            "count": 1262 + latent,
            "density": float(f"{draw.uniform(0.0001, 0.02):.3g}"),
            "max": 30,
            "mean": 10.2,
            "fires_in": 1020,
            "histogram": [draw.randrange(1, 4000) // (1 + place * place) for place in range(20)],
            "promoted": [[self.text(f" {word}"), 0.8 - place / 20] for place, word in enumerate(WORDS[:8])],
            "suppressed": [[self.text(f"{word}\n"), place / 20 - 0.6] for place, word in enumerate(WORDS[8:])],
            **({"places": [self.place(norm) for norm in (0.25, 1.5)]} if coder == "mlp2" else {}),
            "explanations": explanations,
            "scores": {"intruder": [0.44, 0.3, 0.58, 0.2, 0, None]},
            "windows": strongest + others,
            "relatives": [self.relative(coder, latent)],
        }

    def place(self, norm: float) -> list[Any]:
        """What is written at a place."""
        return [norm, [[self.text(f" {word}"), 0.5] for word in WORDS[:5]]]

    def relative(self, coder: str, latent: int) -> dict[str, Any]:
        """A latent of the other coder."""
        other = "mlp2" if coder == "resid2" else "resid2"
        return {
            "coder": other,
            "latent": latent,
            "direction": 0.83,
            "meaning": 0.71,
            "text": self.text("Fires on “river”."),
            "linked": True,
        }

    def score(self, scorer: dict[str, Any], latent: int) -> Any:
        """A score with its interval and floor; of latent 6 also a reason, and None where it is not in the sample."""
        draw = self.draw
        if latent == 6 and scorer["name"] in ("detection", "fuzzing"):
            return None if scorer["name"] == "detection" else self.text("no example was called active")
        if latent > 100 and draw.random() < 0.2:
            return None
        value = round(draw.uniform(-0.1, 0.95), 3)
        natural = round(draw.random(), 3) if scorer["natural"] else None
        return [value, round(value - 0.09, 3), round(value + 0.06, 3), 0.41, draw.choice([0, 0, 3]), natural]

    def window(self, decile: int, maximum: float, position: int) -> list[Any]:
        """A window as the latents shard has it."""
        indices, values = self.tokens(maximum)
        return [
            "test" if decile % 2 else "train",
            decile,
            maximum,
            self.text(f"docs/file{position}.md"),
            position,
            indices,
            values,
        ]

    def tokens(self, maximum: float) -> tuple[list[int], list[float]]:
        """Indices of tokens, and places and values of those on which it fires."""
        indices = [self.draw.randrange(1, 17) for _ in range(WINDOW)]
        indices[0], indices[5], indices[6], indices[7], indices[8] = (0, 17, 19, 20, 18)  # "é" and the rest of it
        return indices, [3, maximum, 6, round(maximum / 3, 1), 11, round(maximum / 8, 2)]

    def shard(self, coder: str, number: int, latents: list[dict[str, Any]], behind: bool) -> None:
        """Writes some latents and, where asked, what lies behind them."""
        dropped = [[latents[0]["id"] + 1, self.text("fires on fewer than 200 tokens")]]
        write_data(
            self.folder, f"{coder}/latents/{number}", {"strings": self.strings, "latents": latents, "dropped": dropped}
        )
        if not behind:
            return
        windows = {
            str(latent["id"]): {str(WINDOW * place): self.shown(place) for place in range(60)} for latent in latents
        }
        write_data(self.folder, f"{coder}/windows/{number}", {"strings": self.strings, "latents": windows})
        for explainer in ("pattern", "llm"):
            self.made(coder, explainer, number, latents)
            for scorer in SCORERS:
                if not scorer["of_latents"] or explainer == "llm":
                    name = f"{coder}/verdicts/{_key(explainer, scorer)}/{number}"
                    write_data(self.folder, name, self.verdicts(explainer, scorer, latents))

    def shown(self, place: int) -> list[Any]:
        """A window that a verdict points to; it fires in the first thirty."""
        indices, values = self.tokens(20)
        return [indices, values if place < 30 else []]

    def requests(self, n: int) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """Calls, and what all of them begin with."""
        common = [
            {"role": "system", "content": self.text("You judge texts.\nAnswer in JSON.")},
            {"role": "user", "content": "An example."},
        ]
        calls = [
            {
                "key": f"{place:064x}",
                "endpoint": "judge",
                "model": self.text("some/model-7b"),
                "messages": [
                    {
                        "role": "user",
                        "content": self.text(f"Which of these fit? Request {place}.\nA. the river\nB. the stone"),
                    }
                ],
                "answer": self.text('{"A": true, "B": false}'),
                "usage": [512, 24],
            }
            for place in range(n)
        ]
        return calls, common

    def made(self, coder: str, explainer: str, number: int, latents: list[dict[str, Any]]) -> None:
        """Writes how explanations were made."""
        calls, common = self.requests(len(latents) if explainer == "llm" else 0)
        evidence = {"rule": self.text("one of"), "tokens": ["river", "stone"], "precision": 0.912345}
        found = {
            str(latent["id"]): {"requests": [place] if calls else [], "evidence": {} if calls else evidence}
            for place, latent in enumerate(latents)
        }
        write_data(
            self.folder,
            f"{coder}/made/{explainer}/{number}",
            {"latents": found, "requests": calls, "common": common if calls else []},
        )

    def verdicts(self, explainer: str, scorer: dict[str, Any], latents: list[dict[str, Any]]) -> dict[str, Any]:
        """The examples of one scorer: thirty in which it fires, thirty in which it is silent, one of them without its window."""
        calls, common = self.requests(12) if explainer == "llm" and scorer["kind"] != "embedding" else ([], [])
        words = [
            "test",
            "negative",
            self.text("random"),
            self.text("the answer has no verdict on it"),
            "clean",
            "written",
        ]
        found = {}
        for latent in latents:
            kinds = ["own"] if scorer["of_latents"] else ["own", "shuffled"]
            found[str(latent["id"])] = {kind: self.columns(scorer["kind"], kind, bool(calls)) for kind in kinds}
        return {"words": words, "latents": found, "requests": calls, "common": common}

    def columns(self, kind: str, explanation: str, asked: bool) -> dict[str, Any]:
        """Verdicts on sixty examples: of every ten the third is wrong, and the last has none."""
        if kind == "sensitivity":  # ten texts, of which it fires in seven; windows are their numbers
            value = [round(place / 3, 2) if place < 7 else 0 for place in range(10)]
            texts = [self.text(f"A river by a stone, {place}.") for place in range(10)]
            of_all = {"kind": [5] * 10, "active": [int(one > 0) or int(place == 0) for place, one in enumerate(value)]}
            return of_all | {"window": list(range(10)), "predicted": [1] * 10, "value": value, "text": texts}
        places = range(60)
        active = [int(place < 30) for place in places]
        silent = [place % 10 == 9 for place in places]
        flip = 3 if explanation == "own" else 2
        columns: dict[str, Any] = {
            "window": [WINDOW * place if place != 59 else 10**6 for place in places],
            "role": [0 if one else 1 for one in active],
            "kind": [None if one else 2 for one in active],
            "decile": [1 + place % 10 if one else 0 for place, one in zip(places, active, strict=True)],
            "active": active,
            "reason": [3 if none else None for none in silent],
        }
        if kind in ("embedding", "simulation", "intervention"):
            columns["value"] = [
                None if silent[place] else round((2 - place / 30) * self.draw.random(), 3) for place in places
            ]
        else:
            columns["predicted"] = [
                None if silent[place] else (active[place] + (place % 10 == flip)) % 2 for place in places
            ]
        if kind == "simulation":
            columns["values"] = [
                [None, *(self.draw.choice([0, 0, 0, 4, 10]) for _ in range(WINDOW - 1))] for _ in places
            ]
        if kind == "intervention":
            columns["text"] = [self.text(f"It was written.\nOnce {place}.") for place in places]
        if asked:
            columns["request"] = [place % 12 for place in places]
        return columns


def _key(explainer: str, scorer: dict[str, Any]) -> str:
    return f"{'latent' if scorer['of_latents'] else explainer}/{scorer['name']}"
