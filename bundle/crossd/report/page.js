// What the report does when it is used: open cases, sort, filter, leaf through slices, choose the map that is shown.
"use strict";
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", () => {
  const byId = (id) => document.getElementById(id);
  const table = byId("cases");
  const cases = [...table.tBodies];
  const words = new Map(cases.map((one) => [one, one.rows[0].textContent.toLowerCase()]));

  function open(one, wanted) {
    one.classList.toggle("open", wanted);
    one.querySelector("button.case").setAttribute("aria-expanded", String(wanted));
  }

  function filter() {
    const text = byId("find").value.trim().toLowerCase();
    const status = byId("status").value;
    const predicted = byId("predicted").value;
    let left = 0;
    for (const one of cases) {
      const { status: its, warned, predicted: classes } = one.dataset;
      const fits =
        words.get(one).includes(text) &&
        (!status || status === its || (status === "warned" && warned === "yes")) &&
        (!predicted || JSON.parse(classes).includes(predicted));
      one.hidden = !fits;
      left += fits;
    }
    byId("count").textContent = `${left} of ${cases.length} shown`;
  }

  function sort(header) {
    const column = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "ascending";
    const values = new Map(cases.map((one) => [one, value(one.rows[0].cells[column])]));
    const order = [...cases].sort((a, b) => compare(values.get(a), values.get(b), down));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.append(...order);
  }

  function value(cell) {
    if (!cell.classList.contains("p")) return cell.textContent.trim();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  }

  function compare(a, b, down) {
    const empty = (x) => x === null || x === "";
    if (empty(a) || empty(b)) return empty(a) - empty(b); // what is not known comes last, either way
    const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
    return down ? -order : order;
  }

  function show(slider) {
    const figure = slider.closest("figure");
    const slice = figure.dataset.shown.split(",")[slider.value];
    const text = `slice ${Number(slice) + 1} of ${figure.dataset.total}`;
    figure.querySelector(".frame").style.setProperty("--at", slider.value);
    figure.querySelector("output").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }

  function leaf(slider, position) {
    slider.value = position;
    show(slider);
  }

  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("th");
    if (event.target.closest("button")) sort(header);
  });
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const one = event.target.closest("tbody");
    if (button && button.matches(".case")) open(one, !one.classList.contains("open"));
    if (button && button.matches(".peak")) {
      for (const figure of one.querySelectorAll("figure")) {
        const { evidence, saliency, mask, [document.body.dataset.map]: its } = figure.dataset;
        const peak = its ?? evidence ?? saliency ?? mask;
        leaf(figure.querySelector("input"), peak);
      }
    }
    const frame = event.target.closest(".frame");
    if (frame) frame.closest("figure").querySelector("input").focus();
  });
  table.addEventListener("input", (event) => {
    if (event.target.type === "range") show(event.target);
  });
  table.addEventListener(
    "wheel",
    (event) => {
      const frame = event.target.closest(".frame");
      const slider = frame && frame.closest("figure").querySelector("input");
      if (!slider || document.activeElement !== slider) return; // a click on the picture takes the wheel
      event.preventDefault();
      leaf(slider, Number(slider.value) + Math.sign(event.deltaY));
    },
    { passive: false },
  );
  for (const slider of table.querySelectorAll("figure input")) show(slider); // a browser may keep its old position
  byId("find").addEventListener("input", filter);
  byId("status").addEventListener("change", filter);
  byId("predicted").addEventListener("change", filter);
  byId("map").addEventListener("change", (event) => {
    document.body.dataset.map = event.target.value;
  });
  byId("strength").addEventListener("input", (event) => {
    document.body.style.setProperty("--strength", event.target.value / 100);
  });
  const shown = () => cases.filter((one) => !one.hidden);
  byId("open-all").addEventListener("click", () => shown().forEach((one) => open(one, true)));
  byId("close-all").addEventListener("click", () => cases.forEach((one) => open(one, false)));
  if (cases.length <= 3) cases.forEach((one) => open(one, true));
  document.body.dataset.map = byId("map").value;
  filter();
});
