"use strict";
/* Values under the pointer: what the curves and points of a figure say where the pointer, a finger or the arrow keys
   are. A figure holds its numbers in `data-values`, and each of its drawings the frames of its panels in `data-frames`:
   left, top, right, bottom in the drawing's own units, then the ends of x, whether it is logarithmic, the same of y. */
(() => {
  const say = (value) => {
    const size = Math.abs(value);
    if (value === 0) return "0";
    if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("-", "−");
    const digits = Math.max(2 - Math.floor(Math.log10(size)), 0);
    return value.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "").replace("-", "−");
  };
  const duration = (seconds) => {
    for (const [size, unit] of [[3600, "h"], [60, "min"]]) if (seconds >= size) return `${say(seconds / size)} ${unit}`;
    return `${say(seconds)} s`;
  };
  const place = (share, low, high, logarithmic) =>
    logarithmic ? low * Math.pow(high / low, share) : low + share * (high - low);
  const share = (value, low, high, logarithmic) =>
    logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const nearest = (list, value) => {
    let best = -1;
    list.forEach((each, at) => {
      if (each !== null && (best < 0 || Math.abs(each - value) < Math.abs(list[best] - value))) best = at;
    });
    return best;
  };
  const interval = (low, high) =>
    low === null || low === undefined || high === null ? "" : ` (${say(low)} to ${say(high)})`;

  function lineOf(panel, x, y) {
    const parts = [];
    if (panel.rows) {
      const row = Math.round(y);
      if (panel.rows[row]) parts.push(panel.rows[row]);
      for (const one of panel.series) {
        const at = panel.rows.length > 1 ? one.y.findIndex((each) => Math.abs(each - row) < 0.45) : 0;
        if (at < 0) continue;
        if (one.lower) parts.push(`${one.name} ${say(one.lower[at])} to ${say(one.upper[at])}`);
        else if (one.x[at] !== null) parts.push(`${one.name} ${say(one.x[at])}`);
      }
      return parts;
    }
    parts.push(`${panel.x} ${panel.durations ? duration(x) : say(x)}`);
    if (panel.field) {
      const column = nearest(panel.field.x, x), row = nearest(panel.field.y, y);
      parts.push(`${panel.y} ${say(panel.field.y[row])}`, `${panel.field.name} ${say(panel.field.values[row][column])}`);
      return parts;
    }
    for (const one of panel.series) {
      const at = nearest(one.x, x);
      if (at < 0 || one.y[at] === null) continue;
      if (one.points) {
        const near = Math.abs(one.x[at] - x) <= panel.reach;
        if (near) parts.push(`${one.name} ${say(one.y[at])}`);
      } else if (x >= Math.min(one.x[0], one.x[one.x.length - 1]) - panel.reach) {
        parts.push(`${one.name} ${say(one.y[at])}${one.lower ? interval(one.lower[at], one.upper[at]) : ""}`);
      }
    }
    return parts;
  }

  function show(svg, which, fx, fy) {
    const figure = svg.closest("[data-values]");
    if (!figure.panels || figure.panelsOf !== figure.dataset.values) {
      figure.panels = JSON.parse(figure.dataset.values);
      figure.panelsOf = figure.dataset.values;
    }
    const frame = JSON.parse(svg.dataset.frames)[which], panel = figure.panels[which];
    const [left, top, right, bottom, x0, x1, xlog, y0, y1, ylog] = frame;
    const x = place(fx, x0, x1, xlog), y = place(fy, y0, y1, ylog);
    panel.reach = Math.abs(x1 - x0) * 0.015;
    const line = lineOf(panel, x, y);
    const said = (panel.title ? `${panel.title}: ` : "") + line.join("; ");
    const status = figure.querySelector(".values");
    if (status) status.textContent = said;
    let cursor = svg.querySelector(".cursor");
    if (!cursor) {
      cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
      cursor.setAttribute("class", "cursor");
      svg.append(cursor);
    }
    const level = panel.rows ? top + (bottom - top) * (1 - fy) : null;
    const at = left + fx * (right - left);
    for (const [name, value] of panel.rows
      ? [["x1", left], ["x2", right], ["y1", level], ["y2", level]]
      : [["x1", at], ["x2", at], ["y1", top], ["y2", bottom]]) cursor.setAttribute(name, value);
  }

  function follow(event) {
    const svg = event.target.closest ? event.target.closest("svg[data-frames]") : null;
    if (!svg) return;
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const px = (event.clientX - box.left) / box.width * view.width;
    const py = (event.clientY - box.top) / box.height * view.height;
    const which = JSON.parse(svg.dataset.frames).findIndex(
      ([left, top, right, bottom]) => px >= left && px <= right && py >= top && py <= bottom);
    if (which < 0) return;
    const [left, top, right, bottom] = JSON.parse(svg.dataset.frames)[which];
    svg.at = { which, x: (px - left) / (right - left), y: (bottom - py) / (bottom - top) };
    show(svg, which, svg.at.x, svg.at.y);
  }

  document.addEventListener("pointermove", follow);
  document.addEventListener("pointerdown", follow);
  document.addEventListener("keydown", (event) => {
    const svg = event.target;
    if (!svg.dataset || !svg.dataset.frames || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const count = JSON.parse(svg.dataset.frames).length;
    const at = svg.at || { which: 0, x: 0.5, y: 0.5 };
    const panel = JSON.parse(svg.closest("[data-values]").dataset.values)[at.which];
    const step = panel.rows ? 1 / Math.max(panel.rows.length, 2) : 0.02;
    const along = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    let { which } = at, x = at.x + along[0], y = at.y + along[1];
    if (x > 1 && which + 1 < count) [which, x] = [which + 1, 0];
    else if (x < 0 && which > 0) [which, x] = [which - 1, 1];
    svg.at = { which, x: Math.min(Math.max(x, 0), 1), y: Math.min(Math.max(y, 0), 1) };
    show(svg, which, svg.at.x, svg.at.y);
  });
})();
