"""Answers the questions of a glossa batch export on a Ray cluster, with vLLM engines under Ray Data LLM.

    python ray_batch.py batches/one results.jsonl --model meta-llama/Llama-3.1-8B-Instruct --engines 8

It needs ``pip install 'ray[data,llm]>=2.49'`` where it runs and nothing of Glossa. A question stays text until an engine gets it, because
Ray's tables would fill up what one question has and another lacks. Log-probabilities are not brought along.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

KNOWN = {
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "response_format",
    "seed",
    "temperature",
}
KNOWN |= {"top_logprobs", "top_p"}
"""Fields of a question that are brought to the engines, or whose absence is noticed."""


def asked(row: dict[str, Any]) -> dict[str, Any]:
    """From a line of an export, under ``text``, to what an engine is asked."""
    line = json.loads(row["text"])
    body = line["body"]
    if body.get("logprobs"):
        raise SystemExit("these questions ask for log-probabilities; set logprobs: 0 in params.yaml, and export again")
    if unknown := body.keys() - KNOWN:
        raise SystemExit(
            f"these questions have {min(unknown)}, which this script does not bring to the engines; add it to asked()"
        )
    limit = body.get("max_tokens") or body["max_completion_tokens"]
    sampling: dict[str, Any] = {
        "max_tokens": limit,
        "temperature": body.get("temperature", 1.0),
        "seed": body.get("seed"),
    }
    sampling["top_p"] = body.get("top_p", 1.0)
    form = body.get("response_format", {}).get("json_schema")
    sampling["structured_outputs"] = {"json": json.dumps(form["schema"])} if form else None
    kept = {"custom_id": line["custom_id"], "model": body["model"], "limit": limit}
    return {**kept, "messages": body["messages"], "sampling_params": sampling}


def result(row: dict[str, Any]) -> dict[str, str]:
    """From what an engine said to a line that ``glossa batch import`` reads."""
    finish = "length" if row["num_generated_tokens"] >= row["limit"] else "stop"
    message = {"role": "assistant", "content": row["generated_text"]}
    usage = {"prompt_tokens": row["num_input_tokens"], "completion_tokens": row["num_generated_tokens"]}
    body = {
        "object": "chat.completion",
        "model": row["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {name: int(count) for name, count in usage.items()},
    }
    return {"line": json.dumps({"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}})}


def main() -> None:
    """Reads an export, asks, and writes the results as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="the folder that glossa batch export wrote, seen by all machines")
    parser.add_argument("results", type=Path)
    parser.add_argument("--model", required=True, help="what vLLM loads: a repository on the Hub or a folder")
    parser.add_argument("--engines", type=int, default=1)
    arguments = parser.parse_args()

    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    config = vLLMEngineProcessorConfig(
        model_source=arguments.model,
        engine_kwargs={"max_model_len": 8192, "enable_prefix_caching": True},
        concurrency=arguments.engines,
        batch_size=256,
        should_continue_on_error=True,
    )
    questions = ray.data.read_text([str(path) for path in sorted(arguments.export.glob("requests-*.jsonl"))])
    with arguments.results.open("w", encoding="utf-8") as file:
        for row in build_processor(config, preprocess=asked, postprocess=result)(questions).iter_rows():
            error = {"custom_id": row.get("custom_id") or "", "error": {"message": row.get("__inference_error__")}}
            file.write((row.get("line") or json.dumps(error)) + "\n")


if __name__ == "__main__":
    main()
