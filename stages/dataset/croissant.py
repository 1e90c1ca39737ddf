"""croissant.json: the files and columns in Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.dataset.card import LICENCE, title
from stages.dataset.columns import CONFIGS
from stages.outputs import file_sha256

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification asks for."""

PARQUET = "application/x-parquet"


def croissant(facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the description of the Parquet files that lie in ``folder``."""
    files = sorted(folder.rglob("*.parquet"))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": title(facts),
        "description": "Machine-written explanations of latents of sparse coders, with scores, verdicts and examples.",
        "license": LICENCE,
        "url": "https://arxiv.org/abs/2410.13928",
        "citeAs": "https://arxiv.org/abs/2410.13928",
        "version": "1.0.0",
        "distribution": [_file(file, folder) for file in files],
        "recordSet": [
            _records(name, file.relative_to(folder)) for name in CONFIGS for file in files if file.parent.name == name
        ],
    }


def _file(path: Path, folder: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": PARQUET,
        "sha256": file_sha256(path),
    }


def _records(config: str, file: Path) -> dict[str, Any]:
    """A record set for every file: its coder is its name."""
    identifier = f"{config}/{file.stem}"
    return {
        "@type": "cr:RecordSet",
        "@id": identifier,
        "name": identifier,
        "description": CONFIGS[config].meaning,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{identifier}/{column.name}",
                "name": column.name,
                "description": column.meaning,
                "dataType": _type(column.type),
                **({"repeated": True} if pa.types.is_list(column.type) else {}),
                "source": {"fileObject": {"@id": file.as_posix()}, "extract": {"column": column.name}},
            }
            for column in CONFIGS[config].columns
        ],
    }


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
