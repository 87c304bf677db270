// The page is a client of the server's own API. Every text of a model, a run or a news item becomes a text node.
"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") element.className = value;
      else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const percent = (share) => `${Math.round(100 * share)}%`;
  const accuracy = (share) => (share === null ? "–" : share.toFixed(2));
  const BASE = "base", NEWS = "base+news";

  // Requests -----------------------------------------------------------------------------------------------------------

  let key = sessionStorage.getItem("key") || "";
  async function send(path, body, signal) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const method = body === undefined ? "GET" : "POST";
    let reply;
    try {
      reply = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error("The server does not answer. Is it still running?");
    }
    if (reply.ok) return reply;
    const said = await reply.json().catch(() => null);
    const failure = new Error(said?.error?.message || `The server answered ${reply.status}.`);
    failure.status = reply.status;
    throw failure;
  }
  const json = async (path, body, signal) => (await send(path, body, signal)).json();

  // The data of each server-sent event of a reply.
  async function* events(reply) {
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
    }
  }
  const failed = (place, error) => {
    place.textContent = error ? error.message : "";
    place.hidden = !error;
  };

  // Tabs ---------------------------------------------------------------------------------------------------------------

  const tabs = [...at("tabs").children];
  const opened = new Set();
  function choose(tab, focus = true) {
    for (const one of tabs) {
      const mine = one === tab;
      one.setAttribute("aria-selected", String(mine));
      one.tabIndex = mine ? 0 : -1;
      at(one.getAttribute("aria-controls")).hidden = !mine;
    }
    const name = tab.id.slice(4);
    if (focus) {
      tab.focus();
      history.replaceState(null, "", `#${name}`);
    }
    if (run && !opened.has(name)) {
      opened.add(name);
      fill[name]?.().catch((error) => {
        opened.delete(name);
        at(name === "add" ? "runs" : name).replaceChildren(make("p", { class: "failure", role: "alert" }, error.message));
      });
    }
  }
  at("tabs").addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  at("tabs").addEventListener("keydown", (event) => {
    const now = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(tabs[(next + tabs.length) % tabs.length]);
  });

  // The run and its questions ------------------------------------------------------------------------------------------

  let run = null; // what /api/run gives
  let picked = null; // the question that was picked: {news, index, question}

  async function load() {
    try {
      run = await json("/api/run");
    } catch (error) {
      at("key-form").hidden = error.status !== 401;
      at("about").textContent = error.status === 401 ? "This server needs its key." : "";
      failed(at("ask-failed"), error.status === 401 ? null : error);
      at("key-said").textContent = key && error.status === 401 ? "This is not the server's key." : "";
      at("ask").disabled = at("start").disabled = true;
      return;
    }
    at("key-form").hidden = true;
    at("ask").disabled = at("start").disabled = false;
    document.title = `${run.name} – sys2ft`;
    at("about").textContent = `${run.name} · ${run.model}`;
    at("verdict").textContent = run.verdict ? `${run.verdict}.` : "";
    at("adapter").replaceChildren(...run.adapters.map((name) => make("option", {}, name)));
    if (run.best && run.adapters.includes(run.best)) at("adapter").value = run.best;
    at("adapter").closest("label").hidden = run.adapters.length === 0;
    columns.context.hidden = !run.reads_news;
    columns.tuned.hidden = run.adapters.length === 0;
    document.querySelector("aside").hidden = run.news.length === 0;
    document.querySelector(".asking").classList.toggle("alone", run.news.length === 0);
    rates();
    list();
    choose(tabs.find((tab) => tab.id === `tab-${location.hash.slice(1)}`) || tabs[0], false);
  }
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = at("key").value;
    sessionStorage.setItem("key", key);
    load();
  });

  // How often each was right in the run, beside its name.
  function rates() {
    const subject = protocol();
    const of = { base: run.rates.base, context: run.rates.in_context, tuned: run.rates.tuned[subject] };
    for (const [name, column] of Object.entries(columns)) {
      const score = of[name], place = column.querySelector(".rate");
      place.hidden = !score;
      if (!score) continue;
      const range = score.low === null ? "" : `, ${percent(score.low).slice(0, -1)} to ${percent(score.high)}`;
      place.replaceChildren(make("b", {}, percent(score.estimate)), ` right in the run${range}`);
    }
  }
  const protocol = () => at("adapter").value.split("/")[0];

  const MARKS = { true: ["✓", "yes", "right"], false: ["✗", "no", "wrong"], null: ["·", "open", "not graded"] };
  function list() {
    const wanted = at("search").value.trim().toLowerCase(), show = at("show").value, subject = protocol();
    const groups = [];
    let shown = 0, all = 0;
    for (const news of run.news) {
      const items = [];
      for (const [index, question] of news.questions.entries()) {
        all += 1;
        const { base = null, in_context: context = null } = question.answered;
        const tuned = question.answered.tuned?.[subject] ?? null;
        const kept = { "": true, learnt: base === false && tuned === true, unlearnt: tuned === false, lost: base === true && tuned === false };
        const text = `${question.question} ${question.answer} ${news.news} ${news.id}`.toLowerCase();
        if (!kept[show] || !text.includes(wanted)) continue;
        shown += 1;
        const marks = make("span", { class: "marks", "aria-hidden": "true" });
        const names = [["base", base], ["in context", context], ["tuned", tuned]];
        for (const [, right] of names) marks.append(make("span", { class: MARKS[right][1] }, MARKS[right][0]));
        const spoken = names.map(([name, right]) => `${name} ${MARKS[right][2]}`).join(", ");
        const chosen = picked?.news === news && picked?.index === index;
        const button = make("button", { type: "button", "aria-pressed": String(chosen) }, make("span", {}, question.question, make("span", { class: "hidden" }, ` (in the run: ${spoken})`)), marks);
        button.title = spoken;
        button.addEventListener("click", () => pick(news, index, button));
        items.push(make("li", {}, button));
      }
      if (items.length) groups.push(make("h3", {}, news.id), make("ul", {}, ...items));
    }
    at("listed").replaceChildren(...groups);
    at("found").textContent = `${shown} of ${all}; marks: base, in context, tuned`;
  }
  function pick(news, index, button) {
    for (const one of at("listed").querySelectorAll("[aria-pressed=true]")) one.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    picked = { news, index, question: news.questions[index] };
    at("question").value = picked.question.question;
    at("choices").value = "";
    ask();
  }
  for (const id of ["show", "search"]) at(id).addEventListener("input", list);
  at("adapter").addEventListener("change", () => { rates(); list(); });

  // Asking -------------------------------------------------------------------------------------------------------------

  const columns = Object.fromEntries([...at("columns").children].map((column) => [column.dataset.column, column]));
  const part = (column, selector) => column.querySelector(selector);
  let asking = null; // the AbortController of what is in progress

  async function ask() {
    const question = at("question").value.trim();
    if (!question || !run) return;
    if (matchMedia("(max-width: 68rem)").matches) at("questions").open = false; // the answers are below it
    asking?.abort();
    const control = (asking = new AbortController());
    if (picked && picked.question.question !== question) picked = null;
    const own = at("choices").value.split("\n").map((line) => line.trim()).filter(Boolean);
    const choices = own.length ? [...new Set(own)] : picked?.question.choices ?? [];
    const models = { base: BASE, ...(run.reads_news && { context: NEWS }), ...(run.adapters.length && { tuned: at("adapter").value }) };
    const content = at("brief").checked ? `${question}\n${picked?.news.brief ?? run.brief}` : question;
    failed(at("ask-failed"), null);
    at("stop").hidden = false;
    at("agreement").hidden = true;
    at("expected").hidden = !picked;
    if (picked) expected();
    const scored = likelihoods(question, choices, models, control);
    const said = await Promise.all(Object.entries(models).map(([name, model]) => answer(columns[name], model, content, control.signal)));
    if (asking === control && !control.signal.aborted && said.every((text) => text !== null)) {
      at("spoken").textContent = Object.keys(models).map((name, place) => `${part(columns[name], "h2").textContent}: ${said[place] || "no text"}.`).join(" ");
      await agreement(question, Object.fromEntries(Object.keys(models).map((name, place) => [name, said[place]])), control);
    }
    await scored;
    if (asking === control) {
      at("stop").hidden = true;
      asking = null;
    }
  }
  function expected() {
    const { news, question } = picked;
    at("expected").replaceChildren(make("span", { class: "key" }, "expected "), make("b", {}, question.answer), make("span", { class: "meta" }, ` · ${news.id}${question.kind ? ` · ${question.kind.replace("_", " ")}` : ""}`));
  }

  // Streams one answer into its column; its text, or null if it failed or was stopped.
  async function answer(column, model, content, signal) {
    const said = part(column, ".said"), line = part(column, ".facts-line"), read = part(column, ".read");
    said.replaceChildren();
    said.className = "said text";
    said.setAttribute("aria-busy", "true");
    line.replaceChildren("waiting …");
    if (read) read.hidden = true;
    const began = performance.now();
    let text = "", tokens = 0, nats = 0, first = null, ended = null;
    const measured = () => {
      const parts = [`${tokens} token${tokens === 1 ? "" : "s"}`];
      if (tokens) parts.push(`${percent(Math.exp(nats / tokens))} likely per token`);
      parts.push(`${((performance.now() - began) / 1000).toFixed(1)} s`);
      if (ended === "length") parts.push("cut at its limit");
      return parts.map((one) => one.replaceAll(" ", "\u00a0")).join(" · "); // broken between, not within
    };
    try {
      const body = { model, stream: true, logprobs: true, temperature: 0, max_tokens: at("brief").checked ? 32 : 160, messages: [{ role: "user", content }] };
      for await (const data of events(await send("/v1/chat/completions", body, signal))) {
        if (data === "[DONE]") break;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Error(chunk.error.message);
        if (read && first === null && chunk.sys2ft) reading(read, chunk.sys2ft.news);
        first ??= performance.now();
        for (const choice of chunk.choices) {
          const delta = choice.delta?.content ?? "", list = choice.logprobs?.content ?? [];
          const whole = list.map((one) => one.token).join("") === delta;
          const spans = whole ? list.map(shade) : [delta];
          if (delta) said.append(...spans);
          text += delta;
          tokens += list.length;
          nats += list.reduce((sum, one) => sum + one.logprob, 0);
          ended = choice.finish_reason ?? ended;
        }
        said.scrollTop = said.scrollHeight;
        line.textContent = measured();
      }
      if (ended === null) throw new Error("The answer broke off. Ask again.");
      line.textContent = measured();
      if (!text.trim()) waiting(said, "It said nothing.");
      return text;
    } catch (error) {
      line.replaceChildren(...(error.name === "AbortError" ? [`stopped after ${measured()}`] : [make("span", { class: "failure", role: "alert" }, error.message)]));
      if (!text) waiting(said, "No answer.");
      return null;
    } finally {
      said.setAttribute("aria-busy", "false");
    }
  }
  const waiting = (said, words) => {
    said.textContent = words;
    said.classList.add("waiting");
  };
  function shade(one) {
    const likely = Math.exp(one.logprob);
    const level = likely >= 0.9 ? 4 : likely >= 0.5 ? 3 : likely >= 0.2 ? 2 : 1;
    return make("span", { class: `p${level}`, title: `${percent(likely)} likely` }, one.token);
  }
  function reading(read, ids) {
    const own = picked && !ids.includes(picked.news.id) ? " (another news item than the question's)" : "";
    const texts = ids.map((id) => run.news.find((news) => news.id === id)?.news).filter(Boolean);
    read.hidden = false;
    part(read, "summary").textContent = ids.length ? `It read ${ids.length > 3 ? `${ids.length} news items` : ids.join(", ")}${own}` : "It found no news for this question";
    part(read, "p").textContent = texts.join("\n\n");
  }

  async function agreement(question, texts, control) {
    const item = picked && { news_id: picked.news.id, question: picked.index };
    let found;
    try {
      found = await json("/api/agreement", { question, texts, item }, control.signal);
    } catch (error) {
      if (error.name !== "AbortError") failed(at("ask-failed"), error);
      return;
    }
    for (const [name, { correct, why }] of Object.entries(found.grades)) {
      const [mark, look, word] = MARKS[correct];
      part(columns[name], ".facts-line").append(" · ", make("span", { class: `grade ${look}`, title: why }, `${mark}\u00a0${word}`));
    }
    const names = { base: "base", context: "news in context", tuned: "tuned" };
    found.pairs.reverse(); // what matters most comes first: whether the tuned model says what the news made it say
    part(at("agreement"), "dl").replaceChildren(...found.pairs.map(({ of: [one, other], share }) => make("div", {}, make("dt", {}, `${names[one]} and ${names[other]}`), make("dd", {}, share.toFixed(2)))));
    part(at("agreement"), ".note").textContent = "Share of the words of the shorter answer that the longer one has, without those of the question; 0 where their numbers differ.";
    at("agreement").hidden = found.pairs.length === 0;
  }

  async function likelihoods(question, choices, models, control) {
    const place = part(at("likelihoods"), ".bars");
    at("likelihoods").hidden = choices.length === 0;
    if (!choices.length) return;
    if (choices.length < 2) {
      place.replaceChildren(make("p", { class: "failure" }, "Write at least two answers to compare."));
      return;
    }
    place.setAttribute("aria-busy", "true");
    try {
      const found = await json("/api/score", { question, choices, models: Object.values(models) }, control.signal);
      place.replaceChildren(bars(choices, models, found.nats, picked?.question.answer));
    } catch (error) {
      if (error.name !== "AbortError") place.replaceChildren(make("p", { class: "failure", role: "alert" }, error.message));
      else if (!place.firstChild) at("likelihoods").hidden = true;
    }
    place.setAttribute("aria-busy", "false");
  }
  function bars(choices, models, nats, right) {
    const names = { base: "Base", context: "In context", tuned: "Tuned" };
    const shares = {};
    for (const [name, model] of Object.entries(models)) {
      const most = Math.max(...nats[model].map((one) => one.mean));
      const each = nats[model].map((one) => Math.exp(one.mean - most));
      const sum = each.reduce((total, one) => total + one, 0);
      shares[name] = each.map((one) => one / sum);
    }
    const rows = choices.map((choice, place) => {
      const cells = Object.entries(shares).map(([name, own]) => {
        const line = make("i");
        line.style.width = `${100 * own[place]}%`;
        const said = nats[models[name]][place];
        const top = own[place] === Math.max(...own);
        return make("td", { class: `${name}${top ? " top" : ""}`, title: `${said.total.toFixed(2)} nats, ${said.tokens} tokens` }, make("span", { class: "track", "data-name": names[name] }, make("span", { class: "line" }, line), make("span", { class: "share" }, percent(own[place]))));
      });
      return make("tr", {}, make("th", { scope: "row" }, choice, ...(choice === right ? [" ", make("span", { class: "tag right" }, "right")] : [])), ...cells);
    });
    const head = make("tr", {}, make("th", { scope: "col" }, "choice"), ...Object.keys(shares).map((name) => make("th", { scope: "col" }, names[name])));
    return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  }
  at("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  at("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      at("ask-form").requestSubmit();
    }
  });
  at("stop").addEventListener("click", () => asking?.abort());
  at("shades").addEventListener("change", () => at("columns").classList.toggle("shaded", at("shades").checked));
  for (const column of Object.values(columns)) waiting(part(column, ".said"), "No question asked yet.");

  // The other tabs: each is filled when it is first opened --------------------------------------------------------------

  const empty = (words, command) => make("p", { class: "empty" }, words, command ? " " : "", command ? make("code", {}, command) : "");
  function frame(place, token, title) {
    const path = `/frame?of=${encodeURIComponent(token)}`;
    const link = make("a", { href: path, target: "_blank", rel: "noopener" }, "Open in a tab of its own");
    place.replaceChildren(make("p", { class: "meta" }, link), make("iframe", { src: path, title, sandbox: "allow-scripts" }));
    place.hidden = false;
  }
  const fill = {
    async report() {
      if (run.report) frame(at("report"), run.report, `Report of ${run.name}`);
      else at("report").replaceChildren(empty("This server has no report: it was started without a run folder, or the run is not finished."));
    },

    async facts() {
      const found = await json("/api/facts");
      if (!found.news.length) {
        at("facts").replaceChildren(empty("The run does not record which facts its training data states."));
        return;
      }
      const names = [...new Set(found.news.flatMap((news) => news.rows.map((row) => row.protocol)))];
      at("facts-protocol").replaceChildren(...names.map((name) => make("option", {}, name)));
      if (names.includes(run.best)) at("facts-protocol").value = run.best;
      at("shades-key").replaceChildren("elements: ", make("mark", { class: "h0" }, "none"), " ", ...[1, 2, 3, 4].flatMap((level) => [make("mark", { class: `h${level}` }, level === 1 ? "few" : level === 4 ? "most" : "   "), " "]));
      const draw = () => {
        const shown = found.news.map((news) => [news.id, news.rows.find((row) => row.protocol === at("facts-protocol").value)])
          .filter(([, row]) => row && (at("facts-show").value === "" || row.uncovered.length));
        at("facts").replaceChildren(...shown.map(([id, row]) => heat(id, row)));
        if (!shown.length) at("facts").replaceChildren(empty("Every fact is covered."));
      };
      for (const id of ["facts-protocol", "facts-show"]) at(id).addEventListener("change", draw);
      draw();
    },

    async ledger() {
      const found = await json("/api/ledger");
      if (!found) at("ledger").replaceChildren(empty("This server shows no ledger. One is shown with", "sys2ft serve RUN --ledger FOLDER"));
      else if (!found.entries.length) at("ledger").replaceChildren(empty(`The ledger ${found.name} has no entry yet.`));
      else at("ledger").replaceChildren(...ledger(found));
    },

    async studies() {
      const found = await json("/api/studies");
      if (!found.length) {
        at("studies").replaceChildren(empty("This server shows no study. They are shown with", "sys2ft serve RUN --studies FOLDER ..."));
        return;
      }
      const page = make("div", { class: "framed", hidden: true });
      const cards = found.map((study) => {
        const button = make("button", { type: "button" }, "Show its page");
        button.addEventListener("click", () => {
          frame(page, study.page, `Study ${study.name}`);
          page.scrollIntoView();
        });
        const more = study.sentences.slice(0, 3).map((sentence) => make("li", {}, sentence));
        return make("article", { class: "study" }, make("h2", {}, study.asks), make("p", { class: "meta" }, `${study.name} · ${study.models.join(", ")}${study.missing ? ` · ${study.missing} cells missing` : ""}`), make("ul", {}, ...more), button);
      });
      at("studies").replaceChildren(...cards, page);
    },

    async add() {
      const offered = run.offered;
      at("protocols").replaceChildren(...Object.entries(offered.protocols).map(([name, words], place) => make("label", {}, make("input", { type: "radio", name: "protocol", value: name, checked: place === 0 }), make("span", {}, make("b", {}, name), ` – ${words}`))));
      at("epochs").replaceChildren(...offered.epochs.map((count) => make("option", { value: count }, String(count))));
      const runs = await json("/api/runs");
      at("runs").replaceChildren(...runs.map(card));
      none();
    },
  };

  function heat(id, row) {
    const text = make("p", { class: "heat-text" });
    for (const piece of row.pieces) {
      if (piece.count === null) text.append(piece.text);
      else text.append(make("mark", { class: `h${piece.level}`, title: `${piece.count} elements` }, piece.text, make("sub", {}, String(piece.count))));
    }
    const left = row.uncovered.map((fact) => make("li", {}, make("span", { class: "key" }, fact.kind), " ", fact.text));
    return make("article", { class: "heat" }, make("h2", {}, id), make("span", { class: "meta" }, `${row.covered} of ${row.facts} facts covered`), text, left.length ? make("details", {}, make("summary", {}, `${left.length} not covered`), make("ul", {}, ...left)) : null);
  }

  function table(head, rows, label, look = "") {
    const columnsOf = (cells, tag) => cells.map((cell, place) => (cell instanceof Node ? cell : make(place === 0 || tag === "th" ? "th" : "td", { scope: tag === "th" ? "col" : place === 0 ? "row" : null }, cell)));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, make("table", { class: `numbers ${look}` }, make("thead", {}, make("tr", {}, ...columnsOf(head, "th"))), make("tbody", {}, ...rows.map((row) => make("tr", {}, ...columnsOf(row, "td"))))));
  }
  function ledger(found) {
    const rows = found.entries.map((entry) => [String(entry.number), entry.date.slice(0, 16).replace("T", " "), entry.by, String(entry.news.length), String(entry.kept), String(entry.rehearsed), accuracy(entry.then), accuracy(entry.now), entry.tag]);
    const last = found.entries.length;
    const shaded = (value) => {
      const cell = make("td", {}, accuracy(value));
      if (value !== null) cell.style.setProperty("--heat", `${Math.round(60 * value)}%`);
      return cell;
    };
    const matrix = found.entries.map((entry) => [`news of entry ${entry.number}`, ...Array.from({ length: entry.number - 1 }, () => make("td", {}, "")), ...entry.after.map(shaded)]);
    const newest = found.entries[last - 1];
    const changes = newest.changes.map((change) => [change.of, String(change.n), change.before.toFixed(2), change.after.toFixed(2), `${change.estimate >= 0 ? "+" : ""}${change.estimate.toFixed(2)}${change.low === null ? "" : ` [${change.low.toFixed(2)}, ${change.high.toFixed(2)}]`}`]);
    return [
      make("h2", {}, `${last} update${last === 1 ? "" : "s"} in one adapter`),
      table(["entry", "date (UTC)", "by", "news items", "elements", "rehearsed", "then", "now", "adapter"], rows, "Entries of the ledger"),
      make("p", { class: "note" }, `Then, now: closed-book accuracy on the entry's news items after it, and after the last entry.${found.undone ? ` Rolled back: ${found.undone}.` : ""}`),
      make("h2", {}, "What each update left of the earlier ones"),
      table(["accuracy after entry", ...found.entries.map((entry) => String(entry.number))], matrix, "Accuracy on the news of each entry after each later one", "matrix"),
      ...(changes.length ? [make("h2", {}, `What entry ${newest.number} changed`), table(["closed book", "n", "before", "after", "change"], changes, "Changes by the last update")] : []),
      ...newest.remarks.map((remark) => make("p", { class: "note" }, remark)),
    ];
  }

  // Adding news --------------------------------------------------------------------------------------------------------

  const none = () => {
    if (!at("runs").children.length) at("runs").append(empty("No run yet. A small run trains an adapter on the news, asks the questions before and after, and writes a report. It takes a minute or two on a laptop."));
  };
  async function items() {
    const file = at("add-file").files[0];
    if (file) {
      const lines = (await file.text()).split("\n");
      return lines.map((line, place) => [line.trim(), place + 1]).filter(([line]) => line).map(([line, number]) => {
        try {
          return JSON.parse(line);
        } catch {
          throw new Error(`${file.name}, line ${number} is not JSON.`);
        }
      });
    }
    const answer = at("add-answer").value.trim();
    const wrong = at("add-wrong").value.split("\n").map((line) => line.trim()).filter((line) => line && line !== answer);
    const choices = wrong.length ? { choices: [answer, ...new Set(wrong)] } : {};
    return [{ id: "news-1", news: at("add-news").value, questions: [{ question: at("add-question").value, answer, ...choices }] }];
  }
  at("add-file").addEventListener("change", () => {
    const own = at("add-file").files.length > 0;
    for (const id of ["add-news", "add-question", "add-answer", "add-wrong"]) at(id).disabled = own;
  });
  at("add-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    failed(at("add-failed"), null);
    at("start").disabled = true;
    try {
      const protocol = document.querySelector("[name=protocol]:checked").value;
      const begun = await json("/api/runs", { items: await items(), protocol, epochs: Number(at("epochs").value) });
      at("runs").querySelector(".empty")?.remove();
      at("runs").prepend(card(begun));
    } catch (error) {
      failed(at("add-failed"), error);
    }
    at("start").disabled = false;
  });

  const live = (state) => state === "running" || state === "stopping";
  const STATES = { running: "running", stopping: "stopping after the step in progress", finished: "finished", stopped: "stopped", failed: "failed" };
  // Its parts are made once and then changed, so that no button disappears under a click.
  function card(first) {
    const state = make("span", { class: "state", role: "status" }), verdict = make("p"), tasks = make("ul"), notes = make("pre"), buttons = make("p", { class: "buttons" }), command = make("code");
    const folded = make("details", {}, make("summary", {}, "Notes"), notes), asked = make("p", { class: "command" }, "To ask the new adapter: ", command);
    const failure = make("p", { class: "failure", role: "alert", hidden: true });
    const about = `${first.news.length === 1 ? first.news[0] : `${first.news.length} news items`} · ${first.protocol} · ${first.epochs} passes · ${first.created.slice(0, 16).replace("T", " ")} UTC`;
    const place = make("article", { class: "run", "data-run": first.id }, make("h3", {}, `Run ${first.id}`, state), make("p", { class: "meta" }, about), verdict, tasks, folded, buttons, failure, asked);
    const act = (words, path) => {
      const button = make("button", { type: "button" }, words);
      button.addEventListener("click", async () => {
        failed(failure, null);
        button.disabled = true;
        await json(path, {}).then(draw, (error) => failed(failure, error));
        button.disabled = false;
      });
      return button;
    };
    const show = make("button", { type: "button" }, "Show its report");
    let offered = "", following = false, now = first;
    show.addEventListener("click", () => {
      frame(at("run-report"), now.report, `Report of run ${now.id}`);
      at("run-report").scrollIntoView();
    });
    async function follow() {
      if (following) return;
      following = true;
      try {
        for await (const data of events(await send(`/api/runs/${first.id}/events`))) draw(JSON.parse(data));
      } catch (error) {
        failed(failure, error);
      }
      following = false;
    }
    function draw(next) {
      now = next;
      state.className = `state ${now.state}`;
      if (state.textContent !== STATES[now.state]) state.textContent = STATES[now.state];
      verdict.textContent = now.verdict ? `${now.verdict}.` : "";
      verdict.hidden = !now.verdict;
      while (tasks.children.length > now.tasks.length) tasks.lastChild.remove();
      now.tasks.forEach((task, at) => {
        const row = tasks.children[at] ?? tasks.appendChild(make("li", {}, make("span"), make("progress"), make("span")));
        const [name, bar, count] = row.children;
        name.textContent = task.name;
        bar.setAttribute("aria-label", task.name);
        if (task.total) Object.assign(bar, { max: task.total, value: task.done });
        count.textContent = task.total ? `${task.done} of ${task.total}` : String(task.done);
      });
      notes.textContent = now.said.join("\n");
      folded.hidden = now.said.length === 0;
      if (now.state === "failed") folded.open = true;
      asked.hidden = now.state !== "finished";
      command.textContent = now.command;
      const wanted = `${now.state} ${now.report}`;
      if (wanted !== offered) {
        offered = wanted;
        const focused = buttons.contains(document.activeElement);
        const path = `/api/runs/${now.id}`;
        buttons.replaceChildren(
          ...(live(now.state) ? [act(now.state === "stopping" ? "Stop at once" : "Stop", `${path}/stop`)] : []),
          ...(now.state === "stopped" || now.state === "failed" ? [act("Resume", `${path}/resume`)] : []),
          ...(now.report && !live(now.state) ? [show] : []),
        );
        if (focused) buttons.querySelector("button")?.focus();
      }
      if (live(now.state)) follow();
    }
    draw(first);
    return place;
  }

  load();
})();
