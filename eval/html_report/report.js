"use strict";
// The report's moving parts: curves by plotly.js, tables that sort and filter, the gallery.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const unique = (values) => [...new Set(values)];

/** An element with attributes and children; texts are texts, never HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Curves: told apart by colour, sign and line; the colours are legible on light and on dark.

const COLOURS = ["#3a7fd5", "#cf4a4a", "#2b9560", "#a9791c", "#9a66d6", "#168f9e", "#c9622a",
  "#cc5799", "#7d838c"];
const SIGNS = [["circle", "●"], ["square", "■"], ["triangle-up", "▲"], ["diamond", "◆"],
  ["triangle-down", "▼"], ["cross", "✚"], ["x", "✖"], ["star", "★"]];
const LINES = ["solid", "dash", "dot", "dashdot"];
const at = (list, index) => list[index % list.length];

const attacks = unique(data.curves.map((row) => row.attack));
const variants = unique(data.curves.map((row) => row.variant));
// What the attacks' runs differ in: most often κ alone.
const axes = unique(data.curves.map((row) => row.axis)).map((name) => {
  const own = data.curves.filter((row) => row.axis === name);
  const values = unique(own.map((row) => row.value)).sort((a, b) => a - b);
  const gaps = values.slice(1).map((value, i) => value - values[i]);
  return { name, values, gap: gaps.length ? Math.min(...gaps) : 1,
    attacks: unique(own.map((row) => row.attack)) };
});

function choice(type, name, value, text, checked) {
  const input = make("input", { type, name, value });
  input.checked = checked;
  return make("label", {}, input, " ", text);
}

function chosen(name) {
  return [...byId("choices").querySelectorAll(`[name=${name}]:checked`)].map((i) => i.value);
}

function trace(variant, axis, attack, measure) {
  const own = data.curves
    .filter((row) => row.variant === variant && row.axis === axis.name && row.attack === attack)
    .sort((one, two) => one.value - two.value);
  const index = attacks.indexOf(attack);
  const place = axis.attacks.indexOf(attack) - (axis.attacks.length - 1) / 2;
  const shift = place * 0.03 * axis.gap;
  const share = (side) => own.map((row) => row[measure][side]);
  return {
    x: own.map((row) => row.value + shift),
    y: share(0),
    error_y: {
      array: share(2).map((high, i) => high - own[i][measure][0]),
      arrayminus: share(1).map((low, i) => own[i][measure][0] - low),
      thickness: 1,
      width: 2,
    },
    customdata: own.map((row) => [row.value, ...row[measure]]),
    hovertemplate: attack.replaceAll("<", "&lt;") +
      (axis.name ? `, ${axis.name} = %{customdata[0]}<br>` : "<br>") +
      "%{customdata[1]:.1%} [%{customdata[2]:.1%}, %{customdata[3]:.1%}]<extra></extra>",
    mode: "lines+markers",
    line: { color: at(COLOURS, index), dash: at(LINES, index), width: 1.8 },
    marker: { color: at(COLOURS, index), symbol: at(SIGNS, index)[0], size: 8 },
    showlegend: false,
  };
}

function draw() {
  const [measure] = chosen("measure");
  const shown = chosen("attack");
  const layout = {
    margin: { l: 54, r: 8, t: 8, b: 42 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    dragmode: false,
    yaxis: { title: { text: data.measures[measure] }, range: [-0.03, 1.03],
      tickformat: ".0%", fixedrange: true },
  };
  for (const panel of document.querySelectorAll(".panel")) {
    const variant = panel.dataset.variant;
    const axis = axes[panel.dataset.axis];
    panel.hidden = !chosen("variant").includes(variant);
    if (panel.hidden) continue;
    const plot = panel.querySelector(".plot");
    plot.setAttribute("aria-label",
      `MagNet ${variant}: ${data.measures[measure]} over ${axis.name || "attacks"} for ` +
      (shown.join("; ") || "no attack"));
    const traces = shown.map((attack) => trace(variant, axis, attack, measure))
      .filter((of) => of.x.length);
    const title = axis.name === "κ" ? "confidence κ" : axis.name;
    const xaxis = { title: { text: title }, fixedrange: true,
      tickvals: axis.name ? axis.values : [] };
    Plotly.react(plot, traces, { ...layout, xaxis }, { displayModeBar: false, responsive: true });
  }
}

/** What is packed in an element, in gzip and base64. */
function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function curves() {
  for (const [key, text] of Object.entries(data.measures))
    byId("measures").append(choice("radio", "measure", key, text, key === "asr"));
  for (const variant of variants) {
    byId("variants").append(choice("checkbox", "variant", variant, variant, true));
    for (const index of axes.keys()) {
      const plot = make("div", { class: "plot", role: "img" });
      byId("panels").append(make("div",
        { class: "panel", "data-variant": variant, "data-axis": index },
        make("h3", {}, `MagNet ${variant}`), plot));
    }
  }
  attacks.forEach((attack, index) => {
    const sign = make("span", { "aria-hidden": "true" }, `${at(SIGNS, index)[1]} `);
    sign.style.color = at(COLOURS, index);
    const label = make("span", {}, sign, attack);
    byId("attacks").append(choice("checkbox", "attack", attack, label, true));
  });
  for (const id of ["all", "none"])
    byId(id).addEventListener("click", () => {
      for (const input of byId("attacks").querySelectorAll("input")) input.checked = id === "all";
      draw();
    });
  document.head.append(make("script", {}, await unpacked("plotly")));
  byId("curves").hidden = false;
  byId("choices").addEventListener("change", draw);
  draw();
}

// Tables

/** Text by its first number, where both have one; else by the alphabet. */
function compared(one, two) {
  const [a, b] = [parseFloat(one), parseFloat(two)];
  if (!isNaN(a) && !isNaN(b)) return a - b;
  return isNaN(a) - isNaN(b) || one.localeCompare(two);
}

function sorts(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const text = (row) => row.cells[column].textContent;
      const order = (one, two) => compared(text(one), text(two)) * (rising ? 1 : -1);
      body.append(...[...body.rows].sort(order));
    });
  });
}

function filters(table) {
  const rows = [...table.tBodies[0].rows];
  const count = make("output", {});
  const selects = [...table.tHead.rows[0].cells]
    .slice(0, Number(table.dataset.keys))
    .map((head, column) => {
      const values = unique(rows.map((row) => row.cells[column].textContent));
      const options = values.map((value) => make("option", { value }, value));
      const select = make("select", {}, make("option", { value: "" }, "all"), ...options);
      return [head.textContent, select];
    });
  const apply = () => {
    for (const row of rows)
      row.hidden = selects.some(([, { value }], column) =>
        value && row.cells[column].textContent !== value);
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = `${left} of ${rows.length} rows`;
  };
  const labels = selects.map(([name, select]) => make("label", {}, `${name} `, select));
  const form = make("form", { class: "filters" }, ...labels, count);
  form.addEventListener("change", apply);
  table.parentElement.before(form);
  apply();
}

// Gallery

const { images, labels, cases, pictures } = data.gallery;

function picture(place, alt) {
  return make("img", { src: pictures[place], alt });
}

function figure(content, caption) {
  return make("figure", {}, content, make("figcaption", {}, caption));
}

function verdict(of, index) {
  const text = of.verdicts[index];
  return make("span", { "data-verdict": text }, text);
}

const named = (of) => [of.attack, of.setting].filter((part) => part).join(", ");

function gallery() {
  for (const attack of unique(cases.map((of) => of.attack))) {
    const group = make("optgroup", { label: attack });
    cases.forEach((of, value) => {
      if (of.attack === attack) group.append(make("option", { value }, named(of)));
    });
    byId("case").append(group);
  }
  for (const variant of variants) byId("judge").append(make("option", {}, variant));
  for (const id of ["case", "judge"]) byId(id).addEventListener("change", shelve);
  const past = (of) => of.variants[variants[0]].verdicts.filter((it) => it === "got past").length;
  byId("case").value = cases.indexOf(cases.reduce((a, b) => (past(b) > past(a) ? b : a)));
  byId("examples").hidden = false;
  shelve();
}

function shelve() {
  const of = cases[byId("case").value];
  byId("gallery").replaceChildren(...images.map((original, index) => {
    const button = make("button", { type: "button" },
      picture(original, `image ${index + 1}, class ${labels[index]}`), " ",
      picture(of.pictures[index], "adversarial example"), make("br"),
      of.found[index] ? verdict(of.variants[byId("judge").value], index) : "none found");
    button.addEventListener("click", () => open(of, index));
    return make("li", {}, button);
  }));
}

function open(of, index) {
  byId("example-title").textContent =
    `Image ${index + 1}, class ${labels[index]}: ${named(of)}`;
  const change = make("div", { class: "change", role: "img", "aria-label": "what was changed" },
    picture(images[index], ""), picture(of.pictures[index], ""));
  const shown = [
    figure(picture(images[index], "the image"), "the image"),
    figure(picture(of.pictures[index], "adversarial example"), "adversarial"),
    figure(change, "change"),
  ];
  const rows = [];
  const healed = new Map(); // variants may have one reformer
  for (const [name, judged] of Object.entries(of.variants)) {
    if (judged.healed.length) {
      const place = judged.healed[index];
      healed.set(place, [...(healed.get(place) ?? []), name]);
    }
    const marks = judged.marks.map(([detector, threshold, marks]) => {
      const [mark, passes] = marks[index];
      return make("div", {}, `${detector}: ${mark} ${passes ? "<" : "≥"} ${threshold}`);
    });
    rows.push(make("tr", {}, make("th", { scope: "row" }, name),
      make("td", {}, verdict(judged, index)), make("td", {}, ...marks)));
  }
  for (const [place, names] of healed) {
    const text = `healed by ${names.join(", ")}`;
    shown.push(figure(picture(place, text), text));
  }
  const heads = ["MagNet", "verdict", "mark and threshold"];
  byId("example-content").replaceChildren(
    make("div", { class: "row" }, ...shown),
    make("p", {}, of.found[index]
      ? `Distance from the image: ${of.distances[index]}.`
      : "The attack found nothing here; the image itself is judged."),
    make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows)));
  byId("example").showModal();
}

for (const table of document.querySelectorAll("[data-keys]")) {
  filters(table); // reads the heads' texts
  sorts(table);
}
gallery();
curves().catch((error) => {
  byId("failure").textContent =
    `The curves cannot be drawn here (${error.message}); a browser of 2023 or later draws them.`;
  byId("failure").hidden = false;
});
