const charts = {{ charts | tojson }};
function ink(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function colours() {
  const axis = { color: ink("--soft"), gridcolor: ink("--line"), zerolinecolor: ink("--line") };
  return { "font.color": ink("--ink"), "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
           "xaxis.color": axis.color, "yaxis.color": axis.color, "xaxis.gridcolor": axis.gridcolor,
           "yaxis.gridcolor": axis.gridcolor, "xaxis.zerolinecolor": axis.zerolinecolor,
           "yaxis.zerolinecolor": axis.zerolinecolor, "hoverlabel.bgcolor": ink("--card"),
           "hoverlabel.font.color": ink("--ink") };
}
for (const [id, figure] of Object.entries(charts)) {
  const place = document.getElementById(id);
  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  Plotly.newPlot(place, figure.data, figure.layout, options).then(() => Plotly.relayout(place, colours()));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const id of Object.keys(charts)) Plotly.relayout(document.getElementById(id), colours());
});
function value(cell) { return cell.dataset.value === undefined ? cell.textContent : cell.dataset.value; }
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, two) => {
      const a = value(one.cells[column]), b = value(two.cells[column]);
      if (a === "" || b === "") return (a === "") - (b === "");  // what is unknown stands last
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  });
}
