"use strict";
// Data lies in data/<name>.js, each a single call glossa("<name>", "<JSON>"): a script element is the only way to read a
// file that works from disk. What it brings is parsed, never run.

const VERSION = 1;
const MOST_KEPT = 24; // shards that stay parsed
const NAME = /^[a-z0-9_-]+(\/[a-z0-9_-]+)*$/;

/** What a reader is told instead of what was asked for; one sentence. */
class Trouble extends Error {}

const delivered = new Map(); // name → JSON, between a script's run and its load event
const shards = new Map(); // name → promise, the most recent last

const scriptAddress = globalThis.trustedTypes?.createPolicy("glossa", { createScriptURL: dataAddress });

function dataAddress(name) {
  if (!NAME.test(name)) throw new Trouble(`“${name}” can't be the name of a data file.`);
  return `data/${name}.js`;
}

/** Called by every data file. */
function glossa(name, text) {
  delivered.set(name, text);
}

/** Resolves to the data of that name; rejects with a Trouble if its file is missing or damaged. */
function shard(name) {
  const known = shards.get(name);
  shards.delete(name);
  const wanted = known ?? fetchShard(name);
  shards.set(name, wanted);
  if (!known) wanted.catch(() => shards.delete(name)); // so that it can be asked for again
  if (shards.size > MOST_KEPT) shards.delete(shards.keys().next().value);
  return wanted;
}

/** The same, for data that is used once. */
function fetchShard(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.addEventListener("error", () => {
      script.remove();
      reject(new Trouble(`data/${name}.js, which belongs to this page, can't be read: copy the report's whole folder, or write it again with “dvc repro”.`));
    });
    script.addEventListener("load", () => {
      script.remove();
      const text = delivered.get(name);
      delivered.delete(name);
      try {
        resolve(JSON.parse(text));
      } catch {
        reject(new Trouble(`data/${name}.js is damaged, it does not hold the data “${name}”: copy the report's folder again, or write it again with “dvc repro”.`));
      }
    });
    script.src = scriptAddress ? scriptAddress.createScriptURL(name) : dataAddress(name);
    document.head.append(script);
  });
}

/** Resolves to what the report is about: coders, explainers, scorers, shards. */
async function readManifest() {
  const manifest = await shard("manifest");
  if (manifest.version === VERSION) return manifest;
  throw new Trouble(`This page reads reports of version ${VERSION}, data/manifest.js is of version ${manifest.version}: write the report again with “dvc repro”.`);
}

/** Number of the shard that would hold a latent, given the first latent of each; -1 if it lies before all. */
function shardOf(firsts, latent) {
  return firsts.findLastIndex((first) => first <= latent);
}

/** Shows a Trouble where the page has room for it; anything else is a mistake of ours and is thrown on. */
function tell(place, error) {
  if (!(error instanceof Trouble)) throw error;
  place.replaceChildren(node("p", "trouble", error.message));
  place.hidden = false;
}
