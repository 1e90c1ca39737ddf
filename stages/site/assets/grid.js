"use strict";
// The rows that can be seen of a table that may have a hundred thousand. A fixed number of row elements is moved about.

const SPARE = 6; // rows kept above and below what is seen

class Grid {
  #body;
  #height = 0;
  #made = []; // row elements; that of place p is number p modulo their number
  #rows = new Uint32Array(0);
  #due = false;
  active = -1; // place among the rows

  /** `fill(element, row)` writes a row into an element that `make()` made. */
  constructor(element, { make, fill }) {
    this.element = element;
    this.#body = element.querySelector(".body");
    Object.assign(this, { make, fill });
    element.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(element);
  }

  /** How high a row is, in pixels. */
  set height(pixels) {
    if (pixels === this.#height) return;
    this.#height = pixels;
    this.element.style.setProperty("--row", `${pixels}px`);
    this.resize();
  }

  get rows() {
    return this.#rows;
  }

  /** Rows that fit on the screen. */
  get page() {
    return Math.max(1, Math.floor((this.element.clientHeight - this.#body.offsetTop) / this.#height) - 1);
  }

  resize() {
    if (this.#needed === this.#made.length) this.refresh();
    else this.remake();
  }

  /** Makes all row elements anew, as when the columns are others. */
  remake() {
    this.#made = Array.from({ length: this.#needed }, () => this.make());
    this.#body.replaceChildren(...this.#made);
    this.refresh();
  }

  get #needed() {
    return this.#height ? Math.ceil(this.element.clientHeight / this.#height) + 2 * SPARE : 0;
  }

  /** Shows these rows; the active one stays active if it is among them. */
  show(rows) {
    const active = this.active < 0 ? undefined : this.#rows[this.active];
    this.#rows = rows;
    this.active = active === undefined ? -1 : rows.indexOf(active);
    this.element.ariaRowCount = String(rows.length + 1);
    this.refresh();
  }

  /** Writes all that is seen anew. */
  refresh() {
    this.#body.style.setProperty("height", `${this.#rows.length * this.#height}px`);
    for (const made of this.#made) made.place = -1;
    this.#draw();
  }

  /** Makes a row active and scrolls to it; beyond an end it is the last at that end. */
  move(place) {
    if (!this.#rows.length) return;
    this.active = Math.max(0, Math.min(this.#rows.length - 1, place));
    const [top, head] = [this.active * this.#height, this.#body.offsetTop];
    const seen = this.element.clientHeight - head;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + this.#height > this.element.scrollTop + seen) this.element.scrollTop = top + this.#height - seen;
    this.refresh();
  }

  #soon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const n = this.#made.length;
    const first = Math.max(0, Math.floor(this.element.scrollTop / this.#height) - SPARE);
    for (let place = first; place < first + n; place++) {
      const made = this.#made[place % n];
      if (made.place === place) continue;
      made.place = place;
      made.hidden = place >= this.#rows.length;
      if (made.hidden) continue;
      made.style.setProperty("transform", `translateY(${place * this.#height}px)`);
      made.id = `row-${place}`;
      made.ariaRowIndex = String(place + 2);
      made.ariaSelected = String(place === this.active);
      this.fill(made, this.#rows[place]);
    }
    const shown = this.active >= first && this.active < Math.min(first + n, this.#rows.length);
    if (shown) this.element.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.element.removeAttribute("aria-activedescendant");
  }
}
