"""The page around the cases, and a case in it, as HTML. Every text that comes from a file or a model is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from crossd.inference import Answer
from crossd.report.case_pictures import Pictures
from crossd.report.views import View
from crossd.texts import escaped
from crossd.version import __version__

SLOT = 9  # characters of a counter, so that it can be written over
COUNTS = ("ok", "failed", "skipped", "warned")
MARKS = {"ok": "✓", "failed": "✕", "skipped": "–"}


def page(
    title: str, date: str, total: int | None, view: View, facts: Mapping[str, str], notes: Sequence[str]
) -> tuple[str, str, str]:
    """What stands before the cases (`total`: how many come), after them, and there until the run is over."""
    css, js, skeleton = (_asset(f"page.{kind}").strip() for kind in ("css", "js", "html"))
    digest = base64.b64encode(hashlib.sha256(f"\n{js}\n".encode()).digest()).decode()
    columns = ["Case", "Status", *view.columns, "Notes"]
    values = {
        "version": __version__,
        "script_hash": f"sha256-{digest}",
        "title": escaped(title),
        "css": css,
        "js": js,
        "kind": view.kind,
        "map": next(iter(view.maps)),
        "map_options": "".join(f'<option value="{kind}">{name}</option>' for kind, name in view.maps.items()),
        "filter": view.filter,
        "filter_hidden": "" if view.choices else ' style="display:none"',
        "filter_options": "".join(f"<option>{escaped(name)}</option>" for name in view.choices),
        "date": escaped(date),
        "total": "" if total is None else str(total),
        **{f"{name}_slot": slot(name, 0) for name in COUNTS},
        "use": escaped(facts.get("Intended use", "")),
        "facts": "\n".join(_fact(term, text) for term, text in facts.items() if term != "Intended use"),
        "columns": "".join(f'<th scope="col"><button type="button">{escaped(name)}</button></th>' for name in columns),
        "notes": "\n".join(f"<li>{escaped(note)}</li>" for note in notes),
    }
    unfinished = '<p class="unfinished">The run was not over when this page was written.</p>'
    ends = [Template(skeleton).substitute(values, end=end).split("<!-- cases -->\n") for end in ("", unfinished)]
    return ends[0][0], ends[0][1], ends[1][1]


def slot(name: str, number: int) -> str:
    """A counter in the head, of the same length whatever it counts; HTML makes one blank of many."""
    return f"<!--{name}-->{number:<{SLOT}}"


def case_html(
    number: int,
    name: str,
    answer: Answer,
    view: View,
    pictures: Sequence[Pictures],
    remarks: Sequence[str],
    details: Mapping[str, str],
    key: str,
    named: bool,
) -> str:
    """A case: its row, and what is seen when it is opened.

    Args:
        number: of the case in the run, from 1.
        answer: with warnings and reason as they may be shown.
        key: by which another page finds it; see `crossd.report.run_pages`.
        named: whether `name` is what it is called elsewhere, and messages may hold names.
    """
    found, status, reason, warnings = view.found(answer), answer.status, answer.reason or "", answer.warnings
    many = f"{len(warnings)} warnings: " if len(warnings) > 1 else ""
    note = reason or many + "; ".join(warnings)
    cells = [
        f'<td><button type="button" class="case" aria-expanded="false" aria-controls="case-{number}">'
        f"{escaped(name)}</button></td>",
        f'<td class="{status}">{MARKS[status]} {status}</td>',
        *view.cells(answer),
        f'<td class="note {"reason" if reason else "warnings"}"><span>{escaped(note)}</span></td>',
    ]
    side = [view.side(answer)]
    side += [f'<p class="reason">{escaped(reason)}</p>'] if reason else []
    if warnings:
        items = "".join(f"<li>{escaped(warning)}</li>" for warning in warnings)
        side.append(f'<div><h3>Warnings</h3><ul class="warnings">{items}</ul></div>')
    listed = "".join(f"<dt>{escaped(term)}</dt><dd>{escaped(text)}</dd>" for term, text in details.items())
    side += [f"<dl>{listed}</dl>"] if listed else []
    seen = "".join(_figure(name, one) for one in pictures)
    if any(one.peaks for one in pictures):
        seen += f'<p><button type="button" class="peak">{escaped(view.peak)}</button></p>'
    seen += "".join(f"<p>{escaped(remark)}</p>" for remark in remarks)
    body = f'<div class="planes">{seen}</div>' if seen else ""
    warned = "yes" if warnings and status == "ok" else "no"
    return (
        f'<tbody class="{status}" data-key="{key}" data-number="{number}" data-status="{status}" '
        f'data-warned="{warned}" data-named="{"yes" if named else "no"}" '
        f'data-predicted="{escaped(json.dumps(found))}">\n'
        f"<tr>{''.join(cells)}</tr>\n"
        f'<tr class="detail" id="case-{number}"><td colspan="{len(cells)}"><div class="case-body'
        f'{"" if seen else " plain"}">{body}<div class="side-facts">{"".join(side)}</div></div></td></tr>\n</tbody>\n'
    )


def _figure(case: str, pictures: Pictures) -> str:
    plane = pictures.plane
    rows, columns = plane.size
    label = f"{plane.name} slices of {case}"
    maps = "".join(f'<img class="map {kind}" alt="" src="{uri}">' for kind, uri in pictures.maps.items())
    sides = "".join(f'<span class="side {at}">{to}</span>' for at, to in zip("lrtb", plane.sides, strict=False))
    peaks = "".join(f' data-{kind}="{at}"' for kind, at in pictures.peaks.items())
    at = plane.middle if pictures.opens_at is None else pictures.opens_at
    return (
        f'<figure style="flex-grow:{columns}" data-shown="{",".join(map(str, plane.shown))}" '
        f'data-total="{plane.total}"{peaks}>'
        f"<figcaption>{plane.name} <output>slice {plane.shown[at] + 1} of {plane.total}</output></figcaption>"
        f'<div class="frame" style="aspect-ratio:{columns}/{rows};--n:{len(plane.shown)};--at:{at}">'
        f'<img alt="{escaped(label)}" src="{pictures.grey}">{maps}{sides}</div>'
        f'<input type="range" min="0" max="{len(plane.shown) - 1}" value="{at}" aria-label="{escaped(label)}">'
        "</figure>"
    )


def _fact(term: str, text: str) -> str:
    wide = ' class="wide"' if len(text) > 90 else ""
    return f"<div{wide}><dt>{escaped(term)}</dt><dd>{escaped(text)}</dd></div>"


def _asset(name: str) -> str:
    return (files("crossd.report") / name).read_text(encoding="utf-8")
