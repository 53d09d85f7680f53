"""The thin layer between the page and the functions: what is sent, what is computed, what is shown. One session each.

Nothing is shared between sessions but the priors, which nothing changes.
"""

from __future__ import annotations

import asyncio
import base64
import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shiny import Inputs, Outputs, Session, reactive, render, ui

from metasci.app import parts, tables
from metasci.app.choices import blank_sheet, example_of
from metasci.app.comparing import compared
from metasci.app.fitting import Fitted, Refused, try_to_fit
from metasci.app.grammar import question_of
from metasci.app.guard import MOST_BYTES
from metasci.app.listing import choice_of
from metasci.app.page import FIRST
from metasci.app.questions import Answer, answer
from metasci.app.sheets import Sheet, sheet_of_cells, sheet_of_file, sheet_of_text
from metasci.errors import InputError
from metasci.report.html import notice, paragraph

__all__ = ["page_width", "serve"]

_RUNNING: set[asyncio.Task[None]] = set()
_WIDTH = 720.0  # where a browser says no number
_LONGEST_NUMBER = 10  # letters
_NARROWEST, _WIDEST = 240.0, 8000.0  # pixels: less than any telephone's, more than any wall's


def serve(input: Inputs, output: Outputs, session: Session) -> None:
    """What one session computes."""
    sheet: reactive.Value[Sheet] = reactive.Value(example_of(FIRST))  # as it was last laid out anew
    cells: reactive.Value[Sheet] = reactive.Value(
        example_of(FIRST)
    )  # as it stands, with what was typed since
    trouble: reactive.Value[Refused | None] = reactive.Value(
        None
    )  # of what was sent, not of the table that stands
    kept: reactive.Value[Fitted | None] = reactive.Value(None)
    before = [FIRST]  # the prior chosen last
    last_answer: reactive.Value[tuple[str, Answer | Refused] | None] = reactive.Value(None)
    settled: reactive.Value[Fitted | Refused | None] = reactive.Value(None)  # what the slower parts show

    def lay_out(make: Callable[[], Sheet]) -> None:
        """Take a new table, or say what is wrong with it and leave the old one."""
        try:
            fresh = make()
        except InputError as error:
            trouble.set(Refused(str(error)[:1].upper() + str(error)[1:]))
            return
        trouble.set(None)
        last_answer.set(None)
        sheet.set(fresh)
        cells.set(fresh)

    @reactive.calc
    def width() -> float:
        return page_width(input.width())

    @reactive.calc
    def outcome() -> Fitted | Refused:
        largest = "largest_molecule" in input and bool(input.largest_molecule())
        return try_to_fit(choice_of(input.prior()).name, cells(), largest)

    @reactive.calc
    def fit() -> Any:
        """The fit, or nothing where the table is refused."""
        fitted = outcome()
        return fitted.fit if isinstance(fitted, Fitted) else None

    @reactive.effect
    def _afterwards() -> None:
        """The curve and the parameters go to the page first; maps, warnings and comparisons follow on their heels."""
        fitted = outcome()
        session.on_flushed(lambda: _later(lambda: settled.set(fitted)), once=True)

    def settled_fit() -> Any:
        fitted = settled()
        return fitted.fit if isinstance(fitted, Fitted) else None

    @reactive.effect(priority=1)  # before anything is fitted to the old table
    @reactive.event(input.prior, ignore_init=True)
    def _prior() -> None:
        """An example of the new prior takes the place of an old one's; a table of the user's own stays."""
        if cells() == sheet() and sheet() in (blank_sheet(before[0]), example_of(before[0])):
            lay_out(lambda: example_of(choice_of(input.prior()).name))
        else:
            last_answer.set(None)
            sheet.set(cells())
        before[0] = choice_of(input.prior()).name

    @reactive.effect
    @reactive.event(input.example)
    def _example() -> None:
        lay_out(lambda: example_of(choice_of(input.prior()).name))

    @reactive.effect
    @reactive.event(input.blank)
    def _blank() -> None:
        lay_out(lambda: blank_sheet(choice_of(input.prior()).name))

    @reactive.effect
    @reactive.event(input.use_pasted)
    def _pasted() -> None:
        lay_out(lambda: sheet_of_text(str(input.pasted() or "")))

    @reactive.effect
    @reactive.event(input.sent)
    def _file() -> None:
        lay_out(lambda: _sheet_sent(input.sent()))

    @reactive.effect
    @reactive.event(input.cells)
    def _cells() -> None:
        """What was typed: the fields stay as they are, so that the cursor keeps its place."""
        try:
            cells.set(sheet_of_cells(input.cells()))
            trouble.set(None)
        except InputError as error:
            trouble.set(Refused(str(error)))

    @reactive.effect
    @reactive.event(input.asked)
    def _asked() -> None:
        request = input.asked()
        if isinstance(request, Mapping) and isinstance(request.get("fields"), Mapping):
            last_answer.set(
                _answered(
                    fit(), "", lambda fitted: (str(request.get("question", "")), dict(request["fields"]))
                )
            )

    @reactive.effect
    @reactive.event(input.asked_line)
    def _line() -> None:
        request = input.asked_line()
        line = str(request.get("line", "") if isinstance(request, Mapping) else "")[:200]
        last_answer.set(_answered(fit(), line, lambda fitted: question_of(fitted, line)))

    @reactive.effect
    @reactive.event(input.keep)
    def _keep() -> None:
        fitted = outcome()
        if isinstance(fitted, Fitted):
            kept.set(fitted)

    @render.ui
    def needs() -> Any:
        return ui.HTML(tables.needs(choice_of(input.prior()).name))

    @output(id="sheet")
    @render.ui
    def _sheet() -> Any:
        return ui.HTML(parts.sheet_part(sheet()))

    @render.ui
    def message() -> Any:
        return ui.HTML(parts.message(trouble() or outcome()))

    @output(id="fit")
    @render.ui
    def _fit() -> Any:
        fitted = outcome()
        return ui.HTML(_nothing() if isinstance(fitted, Refused) else parts.fit_part(fitted.fit, width()))

    @render.ui
    def face() -> Any:
        fitted = settled()
        if not isinstance(fitted, Fitted):
            return None
        return ui.HTML(parts.face_of(fitted.fit, choice_of(fitted.prior).face, width()))

    @render.ui
    def diagram() -> Any:
        calibration = settled_fit()
        return None if calibration is None else ui.HTML(_guarded(lambda: parts.diagram(calibration, width())))

    @render.ui
    def parameters() -> Any:
        return None if fit() is None else ui.HTML(tables.parameters(fit()))

    @render.ui
    def predictions() -> Any:
        return None if settled_fit() is None else ui.HTML(tables.predictions(settled_fit()))

    @render.ui
    def warnings() -> Any:
        return None if settled_fit() is None else ui.HTML(tables.warned(settled_fit().warnings))

    @render.ui
    def forms() -> Any:
        # laid out anew with the table only: a form that is half filled in stays while cells are typed
        sheet()
        with reactive.isolate():
            return None if fit() is None else ui.HTML(parts.forms(fit()))

    @render.text
    def examples() -> str:
        return "" if settled_fit() is None else parts.example_lines(settled_fit())

    @output(id="answer")
    @render.ui
    def _answer() -> Any:
        pair = last_answer()
        return None if pair is None else ui.HTML(parts.answered(*pair))

    @render.ui
    def comparison() -> Any:
        old, new = kept(), settled()
        if old is None or not isinstance(new, Fitted):
            return None
        if old is new:
            return ui.HTML(
                paragraph("Kept. Change the table or the prior, and the two stand here side by side.", "note")
            )
        return ui.HTML(_guarded(lambda: compared(old, new, width())))

    @render.download_link(filename="metasci-report.html")
    def report() -> Iterator[bytes]:
        yield _of(fit()).contents()["report.html"]

    @output(id="tables")
    @render.download_link(filename="metasci-tables.zip")
    def _tables() -> Iterator[bytes]:
        yield zipped(_of(fit()).contents())


def page_width(sent: Any) -> float:
    """The width in pixels that a browser tells, within what a screen can have.

    Examples
    --------
    >>> page_width(500), page_width("500"), page_width("x"), page_width(float("nan")), page_width(-1)
    (500.0, 500.0, 720.0, 720.0, 240.0)
    """
    if isinstance(sent, str) and len(sent) < _LONGEST_NUMBER:
        try:
            sent = float(sent)
        except ValueError:
            return _WIDTH
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not math.isfinite(sent):
        return _WIDTH
    return float(min(max(sent, _NARROWEST), _WIDEST))


def _later(change: Callable[[], object]) -> None:
    """Make a change, and let what follows from it be computed once the present answer is on its way."""

    async def flushed() -> None:
        async with reactive.lock():
            change()
            await reactive.flush()

    task = asyncio.get_running_loop().create_task(flushed())
    _RUNNING.add(task)  # a task that nobody holds may be collected before it is done
    task.add_done_callback(_RUNNING.discard)


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """Files in one archive, with one date, so that the same files give the same bytes."""
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(contents.items()):
                archive.writestr(zipfile.ZipInfo(name), content)
        return buffer.getvalue()


def _of(fit: Any) -> Any:
    if fit is None:
        raise InputError("there is no fit to download: the table is refused.")
    return fit


def _sheet_sent(sent: Any) -> Sheet:
    """The table of a file that the browser read: its name, and its content as base64."""
    if not isinstance(sent, Mapping) or not isinstance(sent.get("content"), str):
        raise InputError("the file did not arrive whole; choose it again.")
    if sent.get("too_large"):
        raise InputError(f"the file is larger than the {MOST_BYTES >> 20} MB that the app reads.")
    try:
        content = base64.b64decode(sent["content"], validate=True)
    except ValueError:  # also of letters that base64 does not have
        raise InputError("the file did not arrive whole; choose it again.") from None
    return sheet_of_file(str(sent.get("name", ""))[:200], content)


def _answered(
    fit: Any, asked: str, read: Callable[[Any], tuple[str, dict[str, str]]]
) -> tuple[str, Answer | Refused]:
    if fit is None:
        return asked, Refused("There is no fit to ask: the table is refused.")
    try:
        return asked, answer(fit, *read(fit))
    except InputError as error:
        return asked, Refused(str(error)[:1].upper() + str(error)[1:])


def _guarded(make: Callable[[], str]) -> str:
    try:
        return make()
    except InputError as error:
        return notice(str(error))


def _nothing() -> str:
    return paragraph("There is no fit yet: the table has to be put right first.", "note")
