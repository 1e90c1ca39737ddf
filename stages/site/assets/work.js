"use strict";
// Work that is cut into slices, so that typing and scrolling never wait for it.

const SLICE = 8; // milliseconds

/** Lets the browser draw and handle events before what follows. */
function breath() {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

/** Runs one job at a time: a new one ends the one before. */
class Latest {
  #current = null;

  /** Resolves to what the generator returns, or to undefined if another job came in between. */
  async run(job) {
    this.#current = job;
    for (;;) {
      const end = performance.now() + SLICE;
      do {
        const { done, value } = job.next();
        if (done) return value;
      } while (performance.now() < end);
      await breath();
      if (this.#current !== job) return undefined;
    }
  }
}
