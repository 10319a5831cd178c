// Slice viewer on a plain canvas; nothing is fetched. One global: RadiomicsViewer.mount(element, volume).
//
// `volume` is what radiomics_talent.reporting.viewer.viewer_volume gives, as parsed JSON. mount() may be called again
// on the same element with another volume. It returns { goTo(slice), setWindow(width, level), destroy() }; slices count
// from 1, from the feet. The element fires `slicechange` (bubbles; detail: slice, slices, zMm), also for the first slice
// that is shown, and holds the number in data-slice. An <img class="viewer-still"> inside the element is shown until the
// volume is unpacked, and on paper. Elements with data-viewer and a JSON block inside are mounted when the page loads.
"use strict";
(function () {
  const PRESETS = [
    { name: "Soft tissue", width: 400, level: 40 },
    { name: "Liver", width: 150, level: 60 },
    { name: "Lung", width: 1500, level: -600 },
    { name: "Bone", width: 1800, level: 400 },
  ];
  const CONTOUR = "#ffd60a"; // as reporting/figures.py
  const SCALES_MM = [5, 10, 20, 50, 100];
  const PAGE_STEP = 5;
  const WHEEL_PX = 30; // what a touchpad has to move for one slice; a wheel's notch is more
  const SCROLLING_MS = 300; // a page that is being scrolled by the wheel goes on when a picture comes under the pointer
  const CANNOT_UNPACK =
    "This browser is too old to unpack the scan (it has no DecompressionStream); open the page in a browser of 2023 or later to page through the slices.";
  const DAMAGED = "The slices of this lesion are damaged and cannot be shown; write the page again.";

  const mounted = new WeakMap();
  let lastScroll = -Infinity;
  window.addEventListener("scroll", () => { lastScroll = performance.now(); }, { passive: true, capture: true });

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  async function decode(volume) {
    const [nx, ny, nz] = volume.size;
    const hu = littleEndian(await unpack(volume.hu));
    const mask = volume.mask ? new Uint8Array(await unpack(volume.mask)) : null;
    if (hu.length !== nx * ny * nz || (mask && mask.length !== hu.length)) throw new Error("length");
    return { hu, mask };
  }

  function littleEndian(buffer) {
    if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return new Int16Array(buffer);
    const view = new DataView(buffer);
    return Int16Array.from({ length: buffer.byteLength / 2 }, (_, i) => view.getInt16(2 * i, true));
  }

  function make(tag, className, attributes = {}, text = "") {
    const node = document.createElement(tag);
    node.className = className;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    return node;
  }

  const signed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

  class Viewer {
    constructor(element, source) {
      this.element = element;
      this.source = source;
      this.window = { ...PRESETS[0] };
      this.contour = true;
      this.slice = 0;
      this.wheel = 0;
      this.data = null;
      this.ending = new AbortController();
      this.build();
      this.listen();
      this.observer = new IntersectionObserver((seen) => {
        if (seen.some((entry) => entry.isIntersecting)) this.start();
      }, { rootMargin: "200px" });
      this.observer.observe(element);
      this.resizer = new ResizeObserver(() => this.draw());
      this.resizer.observe(this.stage);
    }

    build() {
      const still = this.element.querySelector(".viewer-still");
      const title = this.element.getAttribute("aria-label") || (still && still.alt) || "CT slices";
      this.element.classList.add("viewer");
      this.element.classList.toggle("has-still", Boolean(still));
      this.stage = make("div", "viewer-stage", { tabindex: "0", role: "application", "aria-roledescription": "slice viewer",
        "aria-label": title + ". Arrow keys, Page Up, Page Down, Home and End change the slice, 1 to 4 the window, C the contour." });
      this.canvas = make("canvas", "viewer-canvas", { "aria-hidden": "true" });
      this.stage.append(this.canvas);
      this.tools = make("div", "viewer-tools");
      this.slider = make("input", "viewer-slider", { type: "range", min: "1", max: "1", step: "1", "aria-label": "Slice" });
      this.slider.disabled = true;
      this.text = make("output", "viewer-text", { "aria-live": "polite" }, "\u00a0");
      this.value = make("span", "viewer-value", {}, "\u00a0");
      const line = make("p", "viewer-line");
      line.append(this.text, this.value);
      const buttons = make("div", "viewer-buttons", { role: "group", "aria-label": "Window and contour" });
      this.presets = PRESETS.map((preset, i) => {
        const button = make("button", "", { type: "button", "aria-pressed": String(i === 0), "aria-keyshortcuts": String(i + 1),
          title: `Window ${preset.width}, level ${preset.level} HU (key ${i + 1})` }, preset.name);
        button.addEventListener("click", () => this.setWindow(preset.width, preset.level));
        return button;
      });
      this.toggle = make("button", "", { type: "button", "aria-pressed": "true", "aria-keyshortcuts": "c", title: "Contour on or off (key C)" }, "Contour");
      this.toggle.addEventListener("click", () => this.setContour(!this.contour));
      buttons.append(...this.presets, this.toggle);
      this.note = make("p", "viewer-note");
      this.note.hidden = true;
      this.tools.append(this.slider, line, buttons, this.note);
      this.element.append(this.stage, this.tools);
    }

    listen() {
      const options = { signal: this.ending.signal };
      this.slider.addEventListener("input", () => this.goTo(Number(this.slider.value)), options);
      for (const node of [this.stage, this.tools]) node.addEventListener("keydown", (event) => this.key(event), options);
      this.stage.addEventListener("wheel", (event) => this.roll(event), { ...options, passive: false });
      this.stage.addEventListener("pointerdown", (event) => this.press(event), options);
      this.stage.addEventListener("pointermove", (event) => this.move(event), options);
      for (const name of ["pointerup", "pointercancel"]) this.stage.addEventListener(name, () => { this.drag = null; }, options);
      this.stage.addEventListener("pointerleave", () => { this.value.textContent = "\u00a0"; }, options);
      this.stage.addEventListener("focus", () => this.start(), options);
    }

    async start() {
      if (this.started) return;
      this.started = true;
      this.observer.disconnect();
      if (typeof DecompressionStream === "undefined") return this.giveUp(CANNOT_UNPACK);
      try {
        this.volume = typeof this.source === "function" ? this.source() : this.source;
        this.source = null;
        const data = await decode(this.volume);
        if (this.ending.signal.aborted) return;
        this.show(data);
      } catch {
        this.giveUp(DAMAGED);
      }
    }

    show(data) {
      const [nx, ny, nz] = this.volume.size;
      this.volume.hu = this.volume.mask = null; // unpacked: the packed text can go
      this.data = data;
      this.plane = make("canvas", "");
      this.plane.width = nx;
      this.plane.height = ny;
      this.pixels = this.plane.getContext("2d").createImageData(nx, ny);
      this.slider.max = String(nz);
      this.slider.disabled = nz < 2;
      this.toggle.hidden = data.mask === null;
      this.thinned();
      this.element.classList.add("is-live");
      this.goTo(this.volume.start + 1);
    }

    thinned() {
      const [fx, , fz] = this.volume.thinning;
      const parts = [];
      if (fx > 1) parts.push(`1 of ${fx} voxels across and down`);
      if (fz > 1) parts.push(`1 of ${fz} slices`);
      this.note.hidden = parts.length === 0;
      this.note.textContent = parts.length ? `Thinned for this page: ${parts.join(", ")}. Features are computed from all voxels.` : "";
    }

    giveUp(sentence) {
      for (const node of [...this.tools.children]) if (node !== this.note) node.remove();
      this.note.hidden = false;
      this.note.setAttribute("role", "status");
      this.note.textContent = sentence;
      this.stage.hidden = true;
      this.stage.removeAttribute("tabindex");
    }

    goTo(number) {
      if (!this.data) return;
      const nz = this.volume.size[2];
      const slice = Math.min(nz, Math.max(1, Math.round(number)));
      if (slice === this.slice) return;
      this.slice = slice;
      this.slider.value = String(slice);
      this.element.dataset.slice = String(slice);
      this.say();
      this.point();
      this.draw();
      const detail = { slice, slices: nz, zMm: this.volume.z_mm[slice - 1] };
      this.element.dispatchEvent(new CustomEvent("slicechange", { bubbles: true, detail }));
    }

    setWindow(width, level) {
      this.window = { width: Math.max(1, Math.round(width)), level: Math.round(level) };
      PRESETS.forEach((preset, i) => {
        const is = preset.width === this.window.width && preset.level === this.window.level;
        this.presets[i].setAttribute("aria-pressed", String(is));
      });
      this.say();
      this.draw();
    }

    setContour(on) {
      this.contour = on;
      this.toggle.setAttribute("aria-pressed", String(on));
      this.draw();
    }

    say() {
      if (!this.data) return;
      const z = `z ${signed(this.volume.z_mm[this.slice - 1], 1)} mm`;
      this.slider.setAttribute("aria-valuetext", `slice ${this.slice} of ${this.volume.size[2]}, ${z}`);
      this.text.textContent = `Slice ${this.slice} of ${this.volume.size[2]}, ${z}, W ${this.window.width} L ${signed(this.window.level, 0)}`;
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.data) return;
      const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: PAGE_STEP, PageDown: -PAGE_STEP };
      if (event.key in steps) this.goTo(this.slice + steps[event.key]);
      else if (event.key === "Home") this.goTo(1);
      else if (event.key === "End") this.goTo(this.volume.size[2]);
      else if (event.key === "c" || event.key === "C") this.setContour(!this.contour);
      else if (PRESETS[Number(event.key) - 1]) this.setWindow(PRESETS[Number(event.key) - 1].width, PRESETS[Number(event.key) - 1].level);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    roll(event) {
      const isActive = this.element.contains(document.activeElement);
      if (!this.data || event.ctrlKey || (!isActive && performance.now() - lastScroll < SCROLLING_MS)) return;
      const up = event.deltaY < 0;
      // At the last slice the wheel belongs to the page again.
      if ((up && this.slice === this.volume.size[2]) || (!up && this.slice === 1)) return;
      event.preventDefault();
      this.wheel += event.deltaMode === 0 ? event.deltaY : event.deltaY * WHEEL_PX;
      if (Math.abs(this.wheel) < WHEEL_PX) return;
      this.wheel = 0;
      this.goTo(this.slice + (up ? 1 : -1));
    }

    press(event) {
      if (event.button !== 0) return;
      this.drag = { x: event.clientX, y: event.clientY, slice: this.slice, ...this.window };
      try { this.stage.setPointerCapture(event.pointerId); } catch { /* the pointer is gone already */ }
    }

    move(event) {
      this.pointer = [event.clientX, event.clientY];
      this.point();
      if (!this.drag || !this.data) return;
      const dx = event.clientX - this.drag.x, dy = event.clientY - this.drag.y;
      if (event.pointerType === "touch") {
        // Up and down stay with the page (touch-action), sideways turns the slices: one width of the picture is all of them.
        this.goTo(this.drag.slice + Math.round((dx / this.stage.clientWidth) * this.volume.size[2]));
      } else if (dx || dy) {
        const rate = Math.max(1, this.drag.width / 300);
        this.setWindow(this.drag.width + dx * rate, this.drag.level + dy * rate);
      }
    }

    point() {
      if (!this.data || !this.pointer || !this.stage.matches(":hover")) return;
      const [nx, ny] = this.volume.size;
      const box = this.canvas.getBoundingClientRect();
      const { left, top, stepX, stepY } = this.place(box.width, box.height);
      const x = Math.floor((this.pointer[0] - box.left - left) / stepX), y = Math.floor((this.pointer[1] - box.top - top) / stepY);
      const isInside = x >= 0 && y >= 0 && x < nx && y < ny;
      this.value.textContent = isInside ? `${signed(this.data.hu[((this.slice - 1) * ny + y) * nx + x], 0)} HU` : "\u00a0";
    }

    // Where the slice lies on a canvas of this size: one scale in mm, in the middle.
    place(width, height) {
      const [nx, ny] = this.volume.size, [sx, sy] = this.volume.spacing_mm;
      const scale = Math.min(width / (nx * sx), height / (ny * sy));
      return { scale, stepX: sx * scale, stepY: sy * scale, left: (width - nx * sx * scale) / 2, top: (height - ny * sy * scale) / 2 };
    }

    draw() {
      const width = this.stage.clientWidth, height = this.stage.clientHeight;
      if (!this.data || !width || !height) return; // hidden: drawn when it has a size
      const ratio = window.devicePixelRatio || 1;
      const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
      const [nx, ny] = this.volume.size;
      this.fill();
      const context = this.canvas.getContext("2d");
      const at = this.place(w, h);
      context.fillStyle = "black";
      context.fillRect(0, 0, w, h);
      context.imageSmoothingEnabled = true;
      context.drawImage(this.plane, at.left, at.top, nx * at.stepX, ny * at.stepY);
      if (this.contour && this.data.mask) this.outline(context, at, ratio);
      this.mark(context, at, w, h, ratio);
    }

    fill() {
      const [nx, ny] = this.volume.size, n = nx * ny, offset = (this.slice - 1) * n;
      const low = this.window.level - this.window.width / 2, scale = 255 / this.window.width;
      const grey = this.pixels.data, hu = this.data.hu;
      for (let i = 0; i < n; i++) {
        // The array clamps to 0..255 by itself.
        grey[4 * i] = grey[4 * i + 1] = grey[4 * i + 2] = (hu[offset + i] - low) * scale;
        grey[4 * i + 3] = 255;
      }
      this.plane.getContext("2d").putImageData(this.pixels, 0, 0);
    }

    outline(context, { left, top, stepX, stepY }, ratio) {
      const [nx, ny] = this.volume.size, mask = this.data.mask, offset = (this.slice - 1) * nx * ny;
      const inside = (x, y) => x >= 0 && y >= 0 && x < nx && y < ny && mask[offset + y * nx + x] !== 0;
      context.beginPath();
      for (let y = 0; y <= ny; y++) {
        for (let x = 0; x <= nx; x++) {
          const here = inside(x, y);
          if (here !== inside(x - 1, y)) { context.moveTo(left + x * stepX, top + y * stepY); context.lineTo(left + x * stepX, top + (y + 1) * stepY); }
          if (here !== inside(x, y - 1)) { context.moveTo(left + x * stepX, top + y * stepY); context.lineTo(left + (x + 1) * stepX, top + y * stepY); }
        }
      }
      context.strokeStyle = CONTOUR;
      context.lineWidth = 1.6 * ratio;
      context.lineCap = "square";
      context.stroke();
    }

    mark(context, { scale }, w, h, ratio) {
      const size = 13 * ratio, inset = 0.045 * w;
      const halo = (text, x, y) => { context.strokeText(text, x, y); context.fillText(text, x, y); };
      context.font = `600 ${size}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.lineJoin = "round";
      context.strokeStyle = "black";
      context.fillStyle = "white";
      context.lineWidth = 3 * ratio;
      halo("R", inset, h / 2);
      halo("L", w - inset, h / 2);
      halo("A", w / 2, inset);
      halo("P", w / 2, h - inset);
      const bar = SCALES_MM.filter((mm) => mm * scale <= 0.35 * w).pop() || SCALES_MM[0];
      for (const [colour, thick] of [["black", 5], ["white", 2.5]]) {
        context.beginPath();
        context.moveTo(inset, h - inset);
        context.lineTo(inset + bar * scale, h - inset);
        context.strokeStyle = colour;
        context.lineCap = "butt";
        context.lineWidth = thick * ratio;
        context.stroke();
      }
      context.strokeStyle = "black";
      context.lineWidth = 3 * ratio;
      context.font = `${0.85 * size}px system-ui, sans-serif`;
      context.textAlign = "left";
      halo(`${bar} mm`, inset, h - inset - 0.9 * size);
    }

    destroy() {
      this.ending.abort();
      this.observer.disconnect();
      this.resizer.disconnect();
      this.stage.remove();
      this.tools.remove();
      this.element.classList.remove("is-live", "has-still");
      delete this.element.dataset.slice;
      this.data = null;
    }
  }

  function mount(element, volume) {
    if (mounted.has(element)) mounted.get(element).destroy();
    // Copied: the packed texts are dropped once unpacked, and the caller may want to mount the object again.
    const viewer = new Viewer(element, typeof volume === "function" ? volume : { ...volume });
    mounted.set(element, viewer);
    return {
      goTo: (slice) => viewer.goTo(slice),
      setWindow: (width, level) => viewer.setWindow(width, level),
      destroy: () => { viewer.destroy(); mounted.delete(element); },
    };
  }

  function mountAll() {
    for (const element of document.querySelectorAll("[data-viewer]")) {
      const block = element.querySelector('script[type="application/json"]');
      if (block && !mounted.has(element)) mount(element, () => JSON.parse(block.textContent));
    }
  }

  window.RadiomicsViewer = Object.freeze({ mount });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
  else mountAll();
})();
