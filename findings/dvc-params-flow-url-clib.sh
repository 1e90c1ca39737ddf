#!/usr/bin/env bash
# Whether DVC reads a params.yaml can depend on a package that it does not ask for.
#
# dvc 3.67.1 parses YAML with ruamel.yaml's `YAML(typ="safe")`, which takes libyaml's parser where ruamel.yaml.clib is installed and a parser in
# Python where it is not. ruamel.yaml asked for clib on CPython up to 0.18 and no longer does in 0.19. The two disagree on a plain scalar that
# holds a colon inside a flow mapping, which YAML 1.2 allows (7.3.3: ":" may be followed by a character that is safe in a flow collection), so
# `{path: hub://owner/name}` is read in one environment and refused in the other.
# Source: dvc/utils/serialize/_yaml.py (parse_yaml); ruamel/yaml/main.py (YAML.__init__, typ "safe").
# Seen on 2026-11-29, Python 3.11:
#   without clib: > echo read hub://owner/name
#   with clib:    ERROR: 'params.yaml' … YAML file structure is corrupted: while scanning a plain scalar … found unexpected ':'
# To be read by both, quote the scalar.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check dvc==3.67.1 ruamel.yaml==0.19.1
mkdir "$work/project" && cd "$work/project"
export DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$work/site"
git init -q . && "$work/venv/bin/dvc" init -q
printf 'stages: {show: {cmd: "echo read ${coder.path}"}}\n' > dvc.yaml

shown() { printf 'coder: {path: %s}\n' "$1" > params.yaml; "$work/venv/bin/dvc" repro -f show 2>&1 || true; }
failed=0
expect() { # what for, output, pattern
  echo "$1: $(tr '\n' ' ' <<< "$2")"
  grep -q -- "$3" <<< "$2" || { echo "  expected: $3"; failed=1; }
}

"$work/venv/bin/pip" uninstall -q -y ruamel.yaml.clib 2>/dev/null || true
expect "plain, without clib" "$(shown 'hub://owner/name')" '^read hub://owner/name'
"$work/venv/bin/pip" install -q --disable-pip-version-check ruamel.yaml.clib==0.2.15
expect "plain, with clib" "$(shown 'hub://owner/name')" 'corrupted'
expect "quoted, with clib" "$(shown '"hub://owner/name"')" '^read hub://owner/name'
exit "$failed"
