"""The page: one document with labels, headings and live regions; Shiny fills in the rest."""

from __future__ import annotations

from html import escape

from metasci import __version__
from metasci.app.guard import MOST_BYTES, MOST_ROWS
from metasci.app.listing import FACES, choices

__all__ = ["EXAMPLES", "FIRST", "page"]

FIRST = "steel_tempering"
"""The prior that is chosen at first."""

EXAMPLES = {
    "predict": "hardness after 2 h at 500 °C",
    "when": "when is it 5 mg/L",
    "before_next": "level before the next dose",
    "dose": "dose for a trough of 10 to 15 mg/L",
    "next": "what to measure next",
    "furnace": "furnace time to 40 HRC at 600 °C",
}
"""A line for each question that the app can be asked."""

_PLACEHOLDER = '<meta name="shiny-dependency-placeholder" content="">'


def page() -> str:
    """The whole document."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>metasci: calibrate in the browser</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/page.css">
<link rel="stylesheet" href="static/app.css">
{_PLACEHOLDER}
</head>
<body>
<a class="skip" href="#main">Skip to the table</a>
<header>
<h1>metasci</h1>
<p class="lead">Calibrate a trusted model to a new alloy, patient or family from a few measurements.
<strong>For research use only.</strong> Everything stays on this machine.</p>
</header>
<main id="main">
<input id="width" type="text" hidden aria-label="Width of the page in pixels">
<section aria-labelledby="h-prior">
<h2 id="h-prior">1. What do you have?</h2>
<label for="prior">Prior</label>
<select id="prior">{_options()}</select>
<details id="needs-box"><summary>What it needs: columns, units, ranges</summary>
<div id="needs" class="shiny-html-output"></div></details>
</section>
<section aria-labelledby="h-data">
<h2 id="h-data">2. Your measurements</h2>
<div class="row">
<button id="example" type="button" class="action-button">Show an example</button>
<button id="blank" type="button" class="action-button">Empty table</button>
<label class="button">Choose a file<input type="file" class="visually-hidden" accept=".csv,.txt,.tsv,.dat,.xlsx"
data-most="{MOST_BYTES}"></label>
</div>
<details id="paste-box"><summary>Paste or type a whole table</summary>
<label for="pasted">Table with headers: commas, semicolons with decimal commas, or tabs as from a spreadsheet</label>
<textarea id="pasted" rows="6" spellcheck="false"></textarea>
<button id="use_pasted" type="button" class="action-button">Use this table</button>
</details>
<p class="note" id="drop-hint">A file can also be dropped anywhere on this page (CSV, semicolons, tabs, .xlsx; up to
{MOST_BYTES >> 20} MB and {MOST_ROWS} rows).</p>
<div id="sheet" class="shiny-html-output"></div>
<div class="row">
<button id="add-row" type="button">Add a row</button>
<button id="add-column" type="button">Add a column</button>
</div>
<div id="message" class="shiny-html-output" role="status" aria-live="polite"></div>
</section>
<section aria-labelledby="h-fit">
<h2 id="h-fit">3. The fit</h2>
<div id="fit" class="shiny-html-output"></div>
<div id="face" class="shiny-html-output"></div>
<div id="parameters" class="shiny-html-output"></div>
<details id="values-box"><summary>Measured and predicted values</summary>
<div id="predictions" class="shiny-html-output"></div></details>
<details id="diagram-box" hidden><summary>Time–temperature diagram (TTT)</summary>
<div id="diagram" class="shiny-html-output"></div></details>
<h3>Warnings</h3>
<div id="warnings" class="shiny-html-output" role="status" aria-live="polite"></div>
<div class="row">
<a id="report" class="shiny-download-link button" href="" target="_blank" download>Download the report</a>
<a id="tables" class="shiny-download-link button" href="" target="_blank" download>Download the tables</a>
</div>
</section>
<section aria-labelledby="h-ask">
<h2 id="h-ask">4. Ask</h2>
<label for="line">A question in a line</label>
<div class="row"><input id="line" type="text" list="lines" autocomplete="off" spellcheck="false">
<button id="ask_line" type="button">Ask</button></div>
<datalist id="lines">{"".join(f'<option value="{escape(each)}"></option>' for each in EXAMPLES.values())}</datalist>
<p class="note" id="line-hint">Such as: <span id="examples" class="shiny-text-output"></span></p>
<div id="forms" class="shiny-html-output"></div>
<div id="answer" class="shiny-html-output" role="status" aria-live="polite"></div>
</section>
<section aria-labelledby="h-compare">
<h2 id="h-compare">5. Compare two fits</h2>
<p class="note">Keep the fit as it is now, then change the table or the prior.</p>
<button id="keep" type="button" class="action-button">Keep this fit</button>
<div id="comparison" class="shiny-html-output"></div>
</section>
</main>
<footer><p class="note">metasci {escape(__version__)}. This is research software and no medical device: nothing that it
says is advice on the treatment of anybody. Your table is kept in this session's memory and is gone with the page.</p>
</footer>
<script src="static/values.js"></script>
<script src="static/app.js"></script>
</body>
</html>
"""


def _options() -> str:
    parts = []
    for face, title in FACES.items():
        options = "".join(
            f'<option value="{escape(each.name)}"{" selected" if each.name == FIRST else ""}>'
            f"{escape(each.name)} – {escape(each.title[:70])}</option>"
            for each in choices()
            if each.face == face
        )
        parts.append(f'<optgroup label="{escape(title)}">{options}</optgroup>')
    return "".join(parts)
