"use strict";

// The page of studies: texts come from files beside it, a part at a time, and enter the page as text, never as HTML.
const studies = (() => {
  const AT_ONCE = 20;
  const KINDS = ["", "shared", "opposed"];
  const NAMES = { cider: "CIDEr", bleu_4: "BLEU-4", rouge_l: "ROUGE-L", bertscore_f1: "BERTScore" };
  const parts = new Map();
  const wanted = new Map();
  const at = (id) => document.getElementById(id);
  let index = null;
  let order = [];
  let count = 0;
  let generation = 0;

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function addIndex(given) {
    index = given;
    index.studies.forEach((study, place) => study.push(place));
    index.runs.forEach((run, place) =>
      at("run").append(element("option", { value: place, textContent: `${run.model} (${run.preset}, ${run.id.slice(0, 6)})` }))
    );
    const orders = [["id", "study id"], ["against", "most contradicted findings first"]];
    index.scores.forEach((key) => orders.push([`worst ${key}`, `worst ${NAMES[key]} first`], [`best ${key}`, `best ${NAMES[key]} first`]));
    orders.forEach(([value, textContent]) => at("order").append(element("option", { value, textContent })));
    const findings = new Set(index.studies.flatMap((study) => study[1]));
    [...findings].sort().forEach((name) => at("finding").append(element("option", { value: name, textContent: name })));
    for (const id of ["run", "order", "finding", "study"]) at(id).addEventListener("input", restart);
    at("more").addEventListener("click", more);
    document.addEventListener("submit", (event) => event.preventDefault());
    restart();
  }

  function restart() {
    const run = Number(at("run").value);
    const [which, key] = at("order").value.split(" ");
    const column = index.scores.indexOf(key);
    const finding = at("finding").value;
    const id = at("study").value.trim();
    order = index.studies.filter((study) => (!finding || study[1].includes(finding)) && study[0].includes(id));
    const score = (study) => study[2][run][column] ?? null;
    if (which === "against") order.sort((a, b) => b[3][run] - a[3][run]);
    if (column >= 0) {
      const sign = which === "worst" ? 1 : -1;
      order = order.filter((study) => score(study) !== null).sort((a, b) => sign * (score(a) - score(b)));
    }
    at("shown").textContent = `${order.length} of ${index.studies.length} studies`;
    at("studies").replaceChildren();
    count = 0;
    generation += 1;
    more();
  }

  function more() {
    const mine = generation;
    for (const study of order.slice(count, count + AT_ONCE)) {
      const holder = element("article", { className: "study", id: `study-${study[0]}` }, element("h2", { textContent: study[0] }));
      at("studies").append(holder);
      const place = study[4];
      withPart(Math.floor(place / index.part), (part) => {
        if (mine === generation) fill(holder, study, part[place % index.part]);
      });
    }
    count = Math.min(order.length, count + AT_ONCE);
    at("more").hidden = count >= order.length;
  }

  function withPart(k, then) {
    if (parts.has(k)) return then(parts.get(k));
    if (!wanted.has(k)) {
      wanted.set(k, []);
      document.body.append(element("script", { src: `studies-${k}.js` }));
    }
    wanted.get(k).push(then);
  }

  function addPart(k, content) {
    parts.set(k, content);
    for (const then of wanted.get(k) ?? []) then(content);
    wanted.delete(k);
  }

  function section(name, pieces) {
    const words = pieces.map(([text, kind]) => (kind ? element("span", { className: KINDS[kind], textContent: text }) : text));
    return element("p", {}, element("b", { textContent: `${name}: ` }), ...words);
  }

  function report(title, findings, impression, below) {
    const made = element("div", { className: "report" }, element("h3", { textContent: title }));
    if (findings.length) made.append(section("Findings", findings));
    if (impression.length) made.append(section("Impression", impression));
    if (below) made.append(element("p", { className: "small", textContent: below }));
    return made;
  }

  function fill(holder, study, content) {
    const facts = [content.view, ...Object.entries(content.attributes).map(([key, value]) => `${key}: ${value}`)];
    const caption = element("figcaption", { textContent: [...new Set(facts)].filter(Boolean).join(", ") });
    const figure = element("figure", {});
    if (content.picture) figure.append(element("img", { src: content.picture, alt: `Radiograph of study ${content.id}`, loading: "lazy" }));
    figure.append(caption, element("p", { className: "small", textContent: study[1].join(", ") }));
    const whole = (text) => (text ? [[text, 0]] : []);
    const texts = element("div", { className: "texts" },
      report("Reference", whole(content.reference.findings), whole(content.reference.impression), ""));
    content.reports.forEach((written, place) => {
      const scores = index.scores.map((key, i) => [NAMES[key], study[2][place][i]]).filter(([, value]) => value !== null && value !== undefined);
      const below = written.error || scores.map(([name, value]) => `${name} ${value.toFixed(3)}`).join(" · ");
      texts.append(report(index.runs[place].model, written.findings, written.impression, below));
    });
    holder.append(element("div", { className: "beside" }, figure, texts));
  }

  return { addIndex, addPart };
})();
