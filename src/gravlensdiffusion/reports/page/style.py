"""How the page of a report looks: on a desk, on a phone, on paper."""

from string import Template

from gravlensdiffusion.reports.drawing import GENERATED, REAL

STYLE = Template("""
:root { color-scheme: light; --line: #d4d7dc; --soft: #f4f5f7; --ink: #1b1f24; --faint: #57606a; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.25rem 3rem; background: #fff;
  color: var(--ink); font: 1rem/1.5 system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p, ul, dl { margin: .5rem 0; max-width: 52rem; }
p, li, dd, td, figcaption { overflow-wrap: anywhere; }
.lead { color: var(--faint); }
.verdict { max-width: none; margin: 1rem 0; padding: .75rem 1rem .75rem 2rem;
  background: var(--soft); border-left: 4px solid var(--faint); }
.verdict li { margin: .3rem 0; max-width: 52rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; margin: 1rem 0; }
a { color: #0b4f8a; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
th:first-child, td.text, th.text { text-align: left; }
tbody th { font-weight: 400; }
.stacked tbody th { min-width: 11.5rem; }
tr.group th { background: var(--soft); font-weight: 600; padding-top: .6rem; }
tr.group span { font-weight: 400; color: var(--faint); }
tr.far th { font-weight: 700; border-left: 4px solid var(--ink); }
tr.far .ratio, tr.far .z { font-weight: 700; }
.mark { font-weight: 700; font-size: .75rem; white-space: nowrap; }
td.number { white-space: nowrap; }
td.text { min-width: 11rem; }
tr.noted > * { border-bottom: 0; padding-bottom: 0; }
tr.note td { padding-top: 0; color: var(--faint); }
tr.note.far td:first-child { border-left: 4px solid var(--ink); }
.narrow { width: auto; min-width: 24rem; max-width: 100%; }
.scroll { overflow-x: auto; }
.columns { display: grid; gap: 1.25rem; grid-template-columns: repeat(2, minmax(0, 1fr)); }
.small { display: grid; gap: 1rem .9rem;
  grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); }
.pairs { display: grid; gap: .75rem; grid-template-columns: repeat(8, minmax(0, 1fr)); }
figure { margin: 0; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; }
figcaption { font-size: .85rem; line-height: 1.35; margin-top: .25rem; }
.small figure { display: flex; flex-direction: column; }
.small img { margin-top: auto; }
.small figcaption { margin: 0 0 .2rem; }
.small figcaption b { font-weight: 600; }
.tiles { border: 1px solid var(--line); }
.key { display: inline-block; margin-right: 1.25rem; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 2.2rem; height: 0; margin-right: .4rem;
  vertical-align: middle; }
.key.generated::before { border-top: 3px solid $generated; }
.key.real::before { border-top: 3px dashed $real; }
dl.words > div { display: grid; grid-template-columns: 9rem minmax(0, 1fr); gap: 0 1rem;
  margin-bottom: .5rem; }
dl.words dt { font-weight: 600; }
dl.words dd { margin: 0; }
.facts td { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .8rem;
  text-align: left; }
.facts th { text-align: left; white-space: nowrap; }
@media (max-width: 40rem) {
  body { padding: 1rem .9rem 2rem; }
  h1 { font-size: 1.3rem; }
  table { font-size: .8rem; }
  .columns, dl.words > div { grid-template-columns: minmax(0, 1fr); }
  .small { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .pairs { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .narrow { min-width: 0; width: 100%; }
  .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .stacked, .stacked tbody { display: block; }
  .stacked tr { display: grid; padding: .35rem 0; border-bottom: 1px solid var(--line);
    grid-template-columns: minmax(0, 1.3fr) minmax(0, 1.4fr) minmax(0, .8fr) minmax(0, .7fr); }
  .stacked .value, .stacked .corrected { grid-column: 1; }
  .stacked .floor, .stacked .shift { grid-column: 2; }
  .stacked .ratio, .stacked .p { grid-column: 3; }
  .stacked .z { grid-column: 4; }
  .stacked th, .stacked td { border: 0; padding: .1rem .4rem .1rem 0; text-align: left; }
  .stacked tbody th, .stacked td.text { grid-column: 1 / -1; min-width: 0; }
  .stacked td.number:empty, .stacked td.text:empty { display: none; }
  .stacked td::before { content: attr(data-label); display: block; font-size: .72rem;
    line-height: 1.2; color: var(--faint); }
  .stacked tr.group { display: block; padding: 0; }
  .stacked tr.group th { display: block; padding: .5rem .4rem; }
  .stacked tr.noted { border-bottom: 0; padding-bottom: 0; }
  .stacked tr.note { padding-top: 0; }
  .stacked tr.note td:first-child { display: none; }
  .stacked tr.far { border-left: 4px solid var(--ink); padding-left: .5rem; }
  .stacked tr.far th { border: 0; }
  .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; }
  .facts th, .facts td { border: 0; padding: .1rem 0; }
  .facts tr { border-bottom: 1px solid var(--line); padding: .3rem 0; }
}
@media print {
  @page { margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  tr, figure, dl.words > div { break-inside: avoid; }
  thead { display: table-header-group; }
  .small { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .verdict, tr.group th { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
""").substitute(generated=GENERATED.colour, real=REAL.colour)
