"""web.py -- the look and the script of a page that opens from disk: no network, no library, phone to print"""

STYLE = """
:root { color-scheme: light; --ink: #1b1b1b; --soft: #5a5a5a; --line: #d9d9d9; --wash: #f5f5f3 }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink) }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0 }
h2 { font-size: 1.25rem; margin: 2rem 0 .6rem; border-bottom: 1px solid var(--line) }
p, ul { max-width: 46rem; overflow-wrap: break-word }
.lead { font-size: 1.15rem; font-weight: 600 }
.note, figcaption small { color: var(--soft); font-size: .85rem }
figure { margin: 0 0 1.2rem }
figcaption { font-weight: 600; margin-bottom: .2rem }
figcaption small { display: block; font-weight: 400; max-width: 46rem }
.grid { display: grid; gap: 1rem; grid-template-columns: 1fr }
@media (min-width: 60rem) { .grid { grid-template-columns: 1fr 1fr } }
.plot { position: relative }
.plot svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto }
.together { white-space: nowrap }
table { border-collapse: collapse; font-size: .85rem }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap }
th { background: var(--wash) }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; max-width: 34rem }
nav { position: sticky; top: 0; background: #fff; padding: .4rem 0; border-bottom: 1px solid var(--line); z-index: 2;
  max-height: 40vh; overflow: auto }
nav label { display: inline-block; margin-right: .9rem; font-size: .85rem; white-space: nowrap }
@media (max-width: 40rem) { nav { position: static; max-height: none } }
nav i { display: inline-block; width: 1.1em; height: .7em; margin-right: .25em; border-radius: 2px }
.tip { position: absolute; background: #222; color: #fff; font-size: .75rem; padding: .2rem .45rem; border-radius: 3px;
  pointer-events: none; max-width: 16rem; z-index: 1; display: none }
pre { background: var(--wash); padding: .6rem; overflow: auto; font-size: .8rem; white-space: pre-wrap }
summary { cursor: pointer; font-weight: 600 }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt }
  nav { position: static; max-height: none; print-color-adjust: exact; -webkit-print-color-adjust: exact }
  nav input, nav label:has(input:not(:checked)), .tip { display: none !important }
  .grid { grid-template-columns: 1fr 1fr }
  figure { break-inside: avoid }
  figure.table { break-inside: auto }
  h2 { break-after: avoid }
  .scroll { overflow: visible }
  table { font-size: 7pt }
  th, td, .long { padding: .1rem .25rem; min-width: 0; white-space: normal }
  .long { min-width: 6.5rem }
  a { color: inherit; text-decoration: none }
}
"""

SCRIPT = """
"use strict";
const off = new Set();
const turn = box => {
  box.checked ? off.delete(box.value) : off.add(box.value);
  const groups = document.querySelectorAll(`[data-series="${box.value}"]`);
  for (const g of groups) g.style.display = box.checked ? "" : "none";
};
for (const box of document.querySelectorAll("nav input")) {
  turn(box);
  box.addEventListener("change", () => turn(box));
}
for (const plot of document.querySelectorAll(".plot")) {
  const svg = plot.querySelector("svg"), tip = plot.querySelector(".tip");
  const points = JSON.parse(plot.querySelector("script").textContent), view = svg.viewBox.baseVal;
  const show = event => {
    const box = svg.getBoundingClientRect(), scale = view.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = null, least = 18 * 18;
    for (const p of points) {
      const d = (p[0] - x) ** 2 + (p[1] - y) ** 2;
      if (d < least && !off.has(String(p[2]))) { least = d; best = p; }
    }
    tip.style.display = best ? "block" : "none";
    if (!best) return;
    tip.textContent = best[3];
    tip.style.left = Math.max(0, Math.min(best[0] / scale + 8, box.width - tip.offsetWidth)) + "px";
    tip.style.top = best[1] / scale + 8 + "px";
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", () => { tip.style.display = "none"; });
}
for (const event of ["beforeprint", "afterprint"]) window.addEventListener(event, () => {
  for (const one of document.querySelectorAll("details.printed")) one.open = event === "beforeprint";
});
"""
