// Draws what a page measured: one chart for each [data-chart], whose points stand in the page as JSON.
(() => {
  const COLOURS = {
    light: ["#7e22ce", "#0f766e", "#b45309", "#1d4ed8", "#be123c", "#4d7c0f"],
    dark: ["#c99bf2", "#5eead4", "#fbbf24", "#60a5fa", "#fb7185", "#a3e635"],
  };
  const AXES = { light: { ink: "#5b6577", line: "#e2e5ea" }, dark: { ink: "#a3adbd", line: "#3a3f47" } };
  // Memory is marked at whole powers of two.
  const POWERS = Array.from({ length: 41 }, (_, power) => 2 ** power);
  const drawn = new Map();

  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const theme = () => (document.documentElement.dataset.bsTheme === "dark" ? "dark" : "light");

  // 1,234,000 bit/s is 1.23 Mbit/s; memory goes by 1024.
  const quantity = (value, unit) => {
    if (value === null || value === undefined) return "";
    const base = unit === "bytes" ? 1024 : 1000;
    const names = unit === "bytes" ? ["", "Ki", "Mi", "Gi", "Ti"] : ["", "k", "M", "G", "T"];
    let size = 0;
    let left = Math.abs(value);
    while (left >= base && size < names.length - 1) {
      left /= base;
      size += 1;
    }
    const digits = left === 0 || left >= 100 ? 0 : left >= 10 ? 1 : left >= 1 ? 2 : 3;
    return `${value < 0 ? "-" : ""}${left.toFixed(digits)} ${names[size]}${unit === "bytes" ? "B" : unit}`.trim();
  };

  // At an axis there is no room for the longer units, nor need.
  const short = (value, unit) => (unit === "bytes" || unit === "bit/s" ? quantity(value, unit) : quantity(value, "")).replace(/\.0+(?= |$)/, "");

  // One line of times for all series. A step in which nothing was measured is a gap, and no line across it.
  const table = (series, span) => {
    const times = new Set();
    for (const one of series) for (const [at] of one.points) times.add(at);
    const sorted = [...times].sort((a, b) => a - b);
    const whole = [];
    for (const at of sorted) {
      const last = whole[whole.length - 1];
      if (last !== undefined && at - last > span.step * 1.5) whole.push(last + span.step);
      whole.push(at);
    }
    const columns = [whole];
    for (const one of series) {
      const found = new Map(one.points.map((point) => [point[0], point]));
      for (const part of [2, 1, 3]) columns.push(whole.map((at) => found.get(at)?.[part] ?? null));
    }
    return columns;
  };

  const draw = (place) => {
    const data = json(place.dataset.chart);
    const span = json("span");
    const colours = COLOURS[theme()];
    const style = getComputedStyle(document.body);
    const { ink, line } = AXES[theme()];
    const axis = { stroke: ink, font: `12px ${style.fontFamily}`, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const clock = (span.to - span.from > 40 * 86400 ? "{YYYY}-{MM}-{DD}" : span.to - span.from > 2 * 86400 ? "{MM}-{DD} {HH}:{mm}" : "{HH}:{mm}");
    const moment = uPlot.fmtDate(clock);
    const hand = uPlot.fmtDate(span.step < 60 ? "{HH}:{mm}:{ss}" : clock);
    const series = [{ label: "Time", value: (_, at) => (at === null ? "" : hand(new Date(at * 1000))) }];
    const bands = [];
    data.series.forEach((one, number) => {
      const colour = colours[number % colours.length];
      const at = series.length;
      const edge = { stroke: "transparent", width: 0, points: { show: false } };
      series.push({
        label: one.title,
        stroke: colour,
        width: 2,
        points: { show: one.points.length < 2 },
        value: (_, value) => quantity(value, data.unit),
      });
      series.push({ ...edge, label: "least", class: "edge" }, { ...edge, label: "most", class: "edge" });
      bands.push({ series: [at + 2, at + 1], fill: `${colour}2e` });
    });
    const most = Math.max(0, ...data.series.flatMap((one) => one.points.map((point) => point[3])));
    const options = {
      width: Math.max(200, place.clientWidth),
      height: 220,
      series,
      bands,
      scales: { x: { time: true, min: span.from, max: span.to }, y: { range: [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        { ...axis, space: clock.length * 8 + 16, values: (_, values) => values.map((at) => moment(new Date(at * 1000))) },
        { ...axis, size: 76, incrs: data.unit === "bytes" ? POWERS : undefined, values: (_, values) => values.map((value) => short(value, data.unit)) },
      ],
      legend: { live: true },
      cursor: { drag: { x: true, y: false } },
    };
    drawn.get(place)?.destroy();
    place.replaceChildren();
    drawn.set(place, new uPlot(options, table(data.series, span), place));
    place.dataset.drawn = data.series.length;
  };

  const drawAll = () => {
    for (const [place, chart] of drawn) {
      if (place.isConnected) continue;
      chart.destroy();
      drawn.delete(place);
    }
    for (const place of document.querySelectorAll("[data-chart]")) draw(place);
  };

  let waiting;
  const soon = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  };
  addEventListener("naas:theme", soon);
  addEventListener("resize", soon);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
  // What htmx brings anew is drawn anew, and a table that somebody opened stays open.
  let opened = [];
  document.addEventListener("htmx:before:swap", () => {
    opened = [...document.querySelectorAll("#metrics details[open]")].map((details) => details.closest("section").getAttribute("aria-labelledby"));
  });
  document.addEventListener("htmx:after:swap", () => {
    for (const id of opened) {
      const details = document.querySelector(`section[aria-labelledby="${id}"] details`);
      if (details) details.open = true;
    }
    soon();
  });
  drawAll();
})();
