"use strict";
// The versions of this documentation that lie beside this one, from versions.json of the folder above (docs/publish.py).
document.addEventListener("DOMContentLoaded", async () => {
  const box = document.querySelector(".versions");
  if (!box || !location.protocol.startsWith("http")) return;
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  let names;
  try {
    names = await (await fetch(new URL("../versions.json", root))).json();
  } catch { return; }  // there are no others: a local build, or one that was put somewhere alone
  const here = root.pathname.split("/").filter(Boolean).pop(), page = location.href.slice(root.href.length);
  const select = box.querySelector("select");
  for (const name of names) select.add(new Option(name, name, false, name === here));
  if (!names.includes(here)) select.add(new Option(here, here, true, true), 0);
  box.hidden = false;
  select.addEventListener("change", async () => {
    const other = new URL(`../${select.value}/`, root), same = new URL(page, other);
    // a page that the other version does not have: its first page instead
    const there = await fetch(same, { method: "HEAD" }).then((answer) => answer.ok, () => false);
    location.href = (there ? same : other).href;
  });
});
