"use strict";
/* The table, files and forms of the page; what Shiny's own inputs do not do. */
(() => {
  const send = (name, value, options) => window.Shiny.setInputValue(name, value, options);
  const later = (wait, run) => {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(run, wait); };
  };
  const table = () => document.getElementById("cells");
  const rowsOf = () => [...table().tBodies[0].rows].filter((row) => !row.classList.contains("fault"));

  function collect() {
    if (!table()) return;
    const header = [...table().tHead.querySelectorAll("input")].map((input) => input.value);
    const rows = rowsOf().map((row) => [...row.querySelectorAll("input")].map((input) => input.value));
    send("cells", { header, rows });
  }
  // long enough to wait for the next key, short enough to feel at once
  const collectSoon = later(120, collect);

  function label() {
    const header = [...table().tHead.querySelectorAll("input")];
    rowsOf().forEach((row, at) => {
      row.cells[0].textContent = at + 1;
      row.querySelector(".remove").setAttribute("aria-label", `Remove row ${at + 1}`);
      row.querySelectorAll("input").forEach((input, place) =>
        input.setAttribute("aria-label", `Row ${at + 1}, ${header[place].value}`));
    });
  }

  const newCell = () => {
    const cell = document.createElement("td"), input = document.createElement("input");
    input.autocomplete = "off";
    cell.append(input);
    return cell;
  };

  function addRow() {
    const row = table().tBodies[0].insertRow(), name = document.createElement("th"), last = document.createElement("td");
    name.scope = "row";
    const remove = document.createElement("button");
    remove.type = "button"; remove.className = "remove"; remove.textContent = "×";
    last.append(remove);
    row.append(name, ...[...table().tHead.querySelectorAll("input")].map(newCell), last);
    label();
    return row;
  }

  function addColumn() {
    const head = table().tHead.rows[0], cell = document.createElement("th"), input = document.createElement("input");
    cell.scope = "col"; input.className = "header";
    input.setAttribute("aria-label", `Header of column ${head.cells.length - 1}`);
    cell.append(input);
    head.insertBefore(cell, head.lastElementChild);
    for (const row of rowsOf()) row.insertBefore(newCell(), row.lastElementChild);
    label();
    input.focus();
  }

  document.addEventListener("input", (event) => {
    if (event.target.closest("#cells")) { if (event.target.className === "header") label(); collectSoon(); }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "ask_line") askLine();
    if (button.id === "add-row") { addRow().querySelector("input").focus(); collectSoon(); }
    if (button.id === "add-column") { addColumn(); collectSoon(); }
    if (button.className === "remove") {
      const row = button.closest("tr"), next = row.nextElementSibling || row.previousElementSibling;
      row.remove();
      if (next && next.querySelector("input")) next.querySelector("input").focus();
      else document.getElementById("add-row").focus();
      label(); collectSoon();
    }
  });

  // several cells at once, as a spreadsheet puts them on the clipboard
  document.addEventListener("paste", (event) => {
    const input = event.target.closest && event.target.closest("#cells tbody input");
    const text = event.clipboardData.getData("text");
    if (!input || !/[\t\n]/.test(text.trim())) return;
    event.preventDefault();
    const first = rowsOf().indexOf(input.closest("tr"));
    const column = [...input.closest("tr").querySelectorAll("input")].indexOf(input);
    text.replace(/\r/g, "").replace(/\n+$/, "").split("\n").slice(0, 300).forEach((line, down) => {
      const row = rowsOf()[first + down] || addRow();
      line.split("\t").forEach((value, across) => {
        const target = row.querySelectorAll("input")[column + across];
        if (target) target.value = value.trim();
      });
    });
    collectSoon();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    if (event.target.id === "line") { askLine(); return; }
    const input = event.target.closest && event.target.closest("#cells tbody input");
    if (!input) return;
    event.preventDefault();  // down, as in a spreadsheet
    const row = input.closest("tr"), column = [...row.querySelectorAll("input")].indexOf(input);
    const below = rowsOf()[rowsOf().indexOf(row) + 1] || addRow();
    below.querySelectorAll("input")[column].focus();
  });

  function mark() {
    if (!table()) return;
    table().querySelectorAll(".fault").forEach((row) => row.remove());
    table().querySelectorAll("[aria-invalid]").forEach((input) => {
      input.removeAttribute("aria-invalid"); input.removeAttribute("aria-describedby");
    });
    const error = document.getElementById("error");
    if (!error || !error.dataset.row) return;
    const row = rowsOf()[Number(error.dataset.row) - 1];
    if (!row) return;
    const header = [...table().tHead.querySelectorAll("input")].map((input) => input.value);
    const place = header.indexOf(error.dataset.column);
    row.querySelectorAll("input").forEach((input, at) => {
      if (place >= 0 && at !== place) return;
      input.setAttribute("aria-invalid", "true"); input.setAttribute("aria-describedby", "fault");
    });
    const below = document.createElement("tr"), cell = document.createElement("td");
    below.className = "fault"; cell.id = "fault"; cell.colSpan = header.length + 2;
    cell.textContent = error.textContent;
    below.append(cell);
    row.after(below);
    error.classList.add("visually-hidden");  // said aloud as before, and seen at its row
  }

  // with the line as it stands: what was typed last may not have been sent yet
  const askLine = () => send(
    "asked_line", { line: document.getElementById("line").value, stamp: Date.now() }, { priority: "event" });

  function sendFile(file) {
    if (!file) return;
    const most = Number(document.querySelector("[data-most]").dataset.most), stamp = Date.now();
    if (file.size > most) { send("sent", { name: file.name, content: "", too_large: true, stamp }, { priority: "event" }); return; }
    const reader = new FileReader();
    reader.onload = () => send(
      "sent", { name: file.name, content: reader.result.split(",")[1] || "", stamp },
      { priority: "event" });
    reader.readAsDataURL(file);
  }
  document.addEventListener("change", (event) => {
    if (event.target.type === "file") { sendFile(event.target.files[0]); event.target.value = ""; }
  });
  for (const name of ["dragover", "drop", "dragleave"]) document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") sendFile(event.dataTransfer.files[0]);
  });

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target, fields = {};
    for (const each of form.elements) if (each.name) fields[each.name] = each.value;
    send("asked", { question: form.dataset.question, fields, stamp: Date.now() }, { priority: "event" });
  });

  // what lies in a closed box is computed when it is opened
  document.addEventListener("toggle", () => window.jQuery(document.body).trigger("shown"), true);

  // Shiny sends it with its first word: told only afterwards, the first chart would wait for a second round
  const width = () => document.getElementById("main").clientWidth;
  document.getElementById("width").value = width();
  window.addEventListener("resize", later(200, () => send("width", width())));
  window.jQuery(document).on("shiny:disconnected", () => {
    const message = document.getElementById("message");
    message.innerHTML = '<p class="notice" id="gone">The app has ended; start it again and load this page anew.</p>';
  });
  const showBoxes = () => {
    document.getElementById("diagram-box").hidden = !document.querySelector("#face .has-diagram");
  };
  new MutationObserver(showBoxes).observe(document.getElementById("face"), { childList: true });
  new MutationObserver(mark).observe(document.getElementById("message"), { childList: true, subtree: true });
  new MutationObserver(mark).observe(document.getElementById("sheet"), { childList: true });
})();
