"use strict";
// Everything that comes from the data is put into the page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const STEP = 100; // rows shown at a time
const number = (value, digits = 0) => value === null ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function element(name, text = "", classes = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (classes) made.className = classes;
  return made;
}
function link(text, act) {
  const made = element("button", "", "link");
  made.type = "button";
  text.split(/(?<=[_.:\/@-])/).forEach((part, index) => made.append(...(index ? [element("wbr")] : []), part)); // long ids break there
  made.addEventListener("click", act);
  return made;
}
function bar(value) {
  const made = element("span", "", "bar"), inner = element("i");
  inner.style.width = `${value}%`;
  made.append(inner);
  return made;
}

// Cells: one object each, the place counted within its column, equal values share the better place.
const models = data.models.map(([id, params, licence]) => ({ id, params, licence, studies: new Set(), tasks: new Set(), results: 0, beaten: 0, columns: 0 }));
const tasks = data.tasks.map(([name, title, domain, classes]) => ({ name, title, domain, classes, studies: new Set(), models: new Set(), protocols: new Set(), results: 0 }));
const studies = data.studies;
const cells = [];
for (const [s, t, protocol, metric, budget, positions, values] of data.columns) {
  const study = studies[s], task = tasks[t], n = positions.length;
  task.studies.add(s); task.protocols.add(protocol); task.results += n;
  let place = 1;
  for (let i = 0; i < n; i++) {
    if (i && values[i] !== values[i - 1]) place = i + 1;
    const model = models[positions[i]];
    model.studies.add(s); model.tasks.add(t); model.results++; task.models.add(positions[i]);
    if (n >= data.fewest) { model.beaten += (n - place) / (n - 1); model.columns++; }
    cells.push({ model, task, study, protocol, metric, budget, value: values[i] / 100, place, n });
  }
}
for (const model of models) model.beats = model.columns ? 100 * model.beaten / model.columns : null;
const median = values => {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const pairs = data.pairs.map(([a, b, weights, overall, common, same, repeats]) => ({ a, b, one: studies[a], other: studies[b], weights, overall, common, same, repeats }));
studies.forEach((study, index) => {
  study.agrees = median(pairs.filter(pair => (pair.a === index || pair.b === index) && pair.overall !== null).map(pair => pair.overall));
});

// A table that searches, sorts and shows its rows in steps. A column: label, value(row), and perhaps show(row), text, long, digits.
function grid(section, columns, rows, { sort, down = false, label, tools = [] }) {
  const search = element("input"), count = element("span", "", "soft"), place = element("div", "", "scroll"), table = element("table", "", "grid");
  search.type = "search"; search.placeholder = label; search.setAttribute("aria-label", label);
  count.setAttribute("aria-live", "polite");
  const bar = element("div", "", "tools");
  bar.append(search, ...tools, count);
  const more = element("button", "", "more");
  more.type = "button";
  const head = element("tr"), body = element("tbody");
  let order = { column: columns.find(column => column.label === sort), down }, shown = STEP, keep = () => true, found = [];
  for (const column of columns) {
    const cell = element("th", "", column.text ? "" : "number"), button = element("button", column.label);
    cell.scope = "col"; button.type = "button"; column.cell = cell;
    button.addEventListener("click", () => {
      order = { column, down: order.column === column ? !order.down : !column.text };
      update();
    });
    cell.append(button); head.append(cell);
  }
  const top = element("thead"); top.append(head); table.append(top, body); place.append(table);
  section.append(bar, place, more);
  function text(row) {
    return row.searched ??= columns.filter(column => column.text).map(column => column.value(row)).join(" ").toLowerCase();
  }
  function draw() {
    body.replaceChildren(...found.slice(0, shown).map(row => {
      const line = element("tr");
      for (const column of columns) {
        const cell = element("td", "", !column.text ? "number" : column.long ? "text long" : column.show ? "text named" : "text"), value = column.value(row);
        if (column.show) cell.append(column.show(row)); else cell.textContent = column.text ? value : number(value, column.digits);
        line.append(cell);
      }
      return line;
    }));
    more.hidden = found.length <= shown;
    more.textContent = `show ${number(Math.min(STEP, found.length - shown))} more of ${number(found.length)}`;
    count.textContent = `${number(found.length)} of ${number(rows.length)}`;
  }
  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = rows.filter(row => keep(row) && words.every(word => text(row).includes(word)));
    const { column, down } = order;
    found.sort((one, two) => {
      const a = column.value(one), b = column.value(two);
      if (a === null || b === null) return (a === null) - (b === null); // what is unknown stands last
      const by = column.text ? (a < b ? -1 : a > b ? 1 : 0) : a - b;
      return down ? -by : by;
    });
    for (const other of columns) other.cell.removeAttribute("aria-sort");
    column.cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    shown = STEP;
    draw();
  }
  search.addEventListener("input", update);
  more.addEventListener("click", () => { shown += STEP; draw(); });
  return {
    update,
    only(test) { keep = test; search.value = ""; update(); },
    by(name, falling) { order = { column: columns.find(column => column.label === name), down: falling }; },
  };
}

const section = name => document.getElementById(name);
const TABS = { models: "Models", tasks: "Tasks", studies: "Studies", agreement: "Agreement", results: "Results" };
const drawn = {};
function open(name) {
  for (const other of Object.keys(TABS)) {
    section(other).hidden = other !== name;
    document.getElementById(`tab-${other}`).setAttribute("aria-selected", String(other === name));
  }
  drawn[name] ??= MAKERS[name]();
  return drawn[name];
}
function results(kind, thing) {
  const made = open("results");
  made.choose(kind, thing);
  document.querySelector("nav").scrollIntoView();
}

const MAKERS = {
  models() {
    const made = grid(section("models"), [
      { label: "model", text: true, value: row => row.id, show: row => link(row.id, () => results("model", row)) },
      { label: "results", value: row => row.results },
      { label: "studies", value: row => row.studies.size },
      { label: "tasks", value: row => row.tasks.size },
      { label: "beats, %", value: row => row.beats },
      { label: "parameters, M", digits: 1, value: row => row.params === null ? null : row.params / 1e6 },
      { label: "licence", text: true, value: row => row.licence || "unknown" },
    ], models, { sort: "results", down: true, label: "Search models" });
    made.update();
    return made;
  },
  tasks() {
    const made = grid(section("tasks"), [
      { label: "task", text: true, value: row => row.name, show: row => link(row.name, () => results("task", row)) },
      { label: "title", text: true, value: row => row.title },
      { label: "domain", text: true, value: row => row.domain },
      { label: "classes", value: row => row.classes },
      { label: "models", value: row => row.models.size },
      { label: "studies", value: row => row.studies.size },
      { label: "results", value: row => row.results },
      { label: "protocols", text: true, value: row => [...row.protocols].join(", ") },
    ], tasks, { sort: "models", down: true, label: "Search tasks" });
    made.update();
    return made;
  },
  studies() {
    const made = grid(section("studies"), [
      { label: "study", text: true, value: row => row.name, show: row => link(row.name, () => results("study", row)) },
      { label: "title", text: true, value: row => row.title },
      { label: "protocols", text: true, value: row => row.protocols },
      { label: "models", value: row => row.models },
      { label: "tasks", value: row => row.tasks },
      { label: "columns", value: row => row.columns },
      { label: "results", value: row => row.results },
      { label: "complete, %", value: row => row.complete, show: row => { const both = element("span"); both.append(bar(row.complete), element("span", number(row.complete), "share")); return both; } },
      { label: "agrees", digits: 2, value: row => row.agrees },
      { label: "licence", text: true, value: row => row.licence },
      { label: "repeats", text: true, long: true, value: row => row.repeats || "–" },
      { label: "paper", text: true, long: true, value: row => row.paper },
    ], studies, { sort: "results", down: true, label: "Search studies" });
    made.update();
    return made;
  },
  agreement() {
    heat(document.querySelector("table.heat"));
    const made = grid(section("agreement"), [
      { label: "study", text: true, value: row => row.one.name, show: row => link(row.one.name, () => results("study", row.one)) },
      { label: "other", text: true, value: row => row.other.name, show: row => link(row.other.name, () => results("study", row.other)) },
      { label: "common weights", value: row => row.weights },
      { label: "over all tasks", digits: 2, value: row => row.overall },
      { label: "common cells", value: row => row.common },
      { label: "on the same tasks", digits: 2, value: row => row.same },
      { label: "repeats", text: true, value: row => row.repeats ? "yes" : "–" },
    ], pairs, { sort: "common weights", down: true, label: "Search pairs of studies" });
    made.update();
    return made;
  },
  results() {
    const chosen = {}, chips = element("span", "", "tools"), select = element("select");
    select.setAttribute("aria-label", "Protocol");
    for (const protocol of ["all protocols", ...new Set(data.columns.map(column => column[2]))]) select.append(new Option(protocol));
    const made = grid(section("results"), [
      { label: "model", text: true, value: row => row.model.id, show: row => link(row.model.id, () => made.choose("model", row.model)) },
      { label: "value, %", digits: 2, value: row => row.value },
      { label: "place", value: row => row.place, show: row => document.createTextNode(`${number(row.place)} of ${number(row.n)}`) },
      { label: "task", text: true, value: row => row.task.name, show: row => link(row.task.name, () => made.choose("task", row.task)) },
      { label: "study", text: true, value: row => row.study.name, show: row => link(row.study.name, () => made.choose("study", row.study)) },
      { label: "protocol", text: true, value: row => row.protocol },
      { label: "metric", text: true, value: row => row.metric },
      { label: "budget", text: true, value: row => row.budget },
    ], cells, { sort: "place", label: "Search results: every word counts", tools: [select, chips] });
    const filter = () => {
      chips.replaceChildren(...Object.entries(chosen).map(([kind, thing]) => {
        const chip = element("span", `${kind}: ${thing.id ?? thing.name}`, "chip"), close = element("button", "✕");
        close.type = "button"; close.setAttribute("aria-label", `any ${kind}`);
        close.addEventListener("click", () => { delete chosen[kind]; filter(); });
        chip.append(close);
        return chip;
      }));
      const wanted = Object.entries(chosen), protocol = select.selectedIndex ? select.value : "";
      made.only(row => wanted.every(([kind, thing]) => row[kind] === thing) && (!protocol || row.protocol === protocol));
    };
    select.addEventListener("change", filter);
    made.choose = (kind, thing) => { chosen[kind] = thing; filter(); };
    filter();
    return made;
  },
};

// Colours of a correlation: blue where orders are the same, orange where they are opposite.
function paint(cell, value) {
  const tint = `rgba(${value < 0 ? "213, 94, 0" : "0, 114, 178"}, ${Math.abs(value).toFixed(2)})`;
  cell.style.backgroundImage = `linear-gradient(${tint}, ${tint})`; // over the grey of no agreement
}
function heat(table) {
  for (const sample of document.querySelectorAll(".key i")) paint(sample, Number(sample.dataset.value));
  const used = [...new Set(pairs.flatMap(pair => [pair.a, pair.b]))].sort((a, b) => a - b);
  const known = new Map(pairs.flatMap(pair => [[`${pair.a} ${pair.b}`, pair], [`${pair.b} ${pair.a}`, pair]]));
  const head = element("tr");
  head.append(element("th"), ...used.map((_, index) => element("th", String(index + 1))));
  const top = element("thead"), body = element("tbody");
  top.append(head);
  used.forEach((a, index) => {
    const line = element("tr"), name = element("th");
    name.scope = "row";
    name.append(link(`${studies[a].name} ${index + 1}`, () => results("study", studies[a])));
    line.append(name);
    for (const b of used) {
      const cell = element("td"), pair = known.get(`${a} ${b}`);
      if (pair && pair.overall !== null) {
        cell.className = "known";
        paint(cell, pair.overall);
        cell.title = `${studies[a].name} and ${studies[b].name}: ${number(pair.overall, 2)} over ${pair.weights} weights` + (pair.repeats ? ", repeat each other" : "");
      }
      line.append(cell);
    }
    body.append(line);
  });
  table.append(top, body);
}

const nav = document.querySelector("nav");
for (const [name, label] of Object.entries(TABS)) {
  const tab = element("button", label);
  tab.type = "button"; tab.id = `tab-${name}`; tab.setAttribute("role", "tab"); tab.setAttribute("aria-controls", name);
  tab.addEventListener("click", () => { open(name); history.replaceState(null, "", `#${name}`); });
  section(name).setAttribute("aria-labelledby", tab.id);
  nav.append(tab);
}
open(TABS[location.hash.slice(1)] ? location.hash.slice(1) : "models");
