'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const STATES = ['closed', 'shedding', 'half-open', 'open'];
const COLOURS = ['--closed', '--shedding', '--half', '--open'];

// The charts, from top to bottom: what is drawn of a timeline's bin, in which unit, on which scale.
const share = (part, whole) => whole ? 100 * part / whole : null;
const CHARTS = [
  { title: 'arrivals and admitted, requests/s', of: (t, i) => t.admitted[i] / t.width, behind: (t, i) => t.arrived[i] / t.width, unit: '/s' },
  { title: 'bad among the admitted, %', of: (t, i) => share(t.bad[i], t.admitted[i]), top: 100, unit: ' %' },
  { title: 'latency of the admitted: median and P99, ms (logarithmic)', of: (t, i) => t.p50[i] || null, second: (t, i) => t.p99[i] || null, log: true, unit: ' ms' },
  { title: 'admitted share, %', of: (t, i) => share(t.admitted[i], t.arrived[i]), top: 100, unit: ' %' },
];
const LEFT = 52, RIGHT = 8, HEIGHT = 108, GAP = 30, STRIP = 15;

for (const [index, scenario] of data.scenarios.entries()) $('scenario').add(new Option(`${scenario.id}  ${scenario.title}`, index));
for (const id of ['a', 'b']) for (const [index, name] of data.systems.entries()) $(id).add(new Option(name, index));

// The fragment keeps the choice: #S04c,none,sensitive.
function load() {
  const [id, a, b] = decodeURIComponent(location.hash.slice(1)).split(',');
  const position = (list, wanted, otherwise) => { const at = list.indexOf(wanted); return at < 0 ? Math.min(otherwise, list.length - 1) : at; };
  const ids = data.scenarios.map(scenario => scenario.id);
  $('scenario').value = position(ids, id, Math.max(0, ids.indexOf('S04c')));
  $('a').value = position(data.systems, a, 0);
  $('b').value = position(data.systems, b, Math.max(1, data.systems.indexOf('sensitive')));
}
function chosen() {
  const scenario = data.scenarios[$('scenario').value];
  return { scenario, a: +$('a').value, b: +$('b').value };
}
function show() {
  const { scenario, a, b } = chosen();
  history.replaceState(null, '', '#' + [scenario.id, data.systems[a], data.systems[b]].join(','));
  $('title').textContent = `${scenario.id}  ${scenario.title}`;
  $('wanted').textContent = `Wanted: ${scenario.wanted}`;
  draw();
  tables();
}

const clock = t => {
  if (t < 0) return '−' + clock(-t);
  const s = Math.round(t), two = n => String(n).padStart(2, '0');
  return s >= 7200 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)} h` : `${Math.floor(s / 60)}:${two(s % 60)}`;
};

let layout;
function draw() {
  const { scenario, a, b } = chosen();
  const lines = [[scenario.timelines[a], '--a'], [scenario.timelines[b], '--b']].filter(([t]) => t);
  const box = $('charts');
  box.replaceChildren();
  if (!lines.length) { box.textContent = 'No timeline was kept.'; return; }
  const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(name).trim();
  const width = box.clientWidth - 20, height = CHARTS.length * (HEIGHT + GAP) + 2 * (STRIP + 4) + 64;
  const canvas = document.createElement('canvas'), ratio = devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + 'px';
  box.append(canvas);
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.font = '12px system-ui, sans-serif';
  const first = lines[0][0], bins = first.arrived.length, span = bins * first.width;
  const zero = scenario.incident ? scenario.incident[0] : first.from;
  const x = t => LEFT + (t - first.from) / span * (width - LEFT - RIGHT);
  const edge = t => Math.min(width - RIGHT, Math.max(LEFT, x(t)));
  layout = { x, first, lines, width, zero, canvas };

  let y = 22;
  for (const chart of CHARTS) {
    const values = lines.flatMap(([t]) => first.arrived.flatMap((_, i) => [chart.of(t, i), (chart.second || chart.behind || (() => 0))(t, i)]));
    const top = chart.top || Math.max(1, ...values.filter(v => v !== null)) * 1.05;
    const low = chart.log ? Math.log10(Math.max(1, Math.min(...values.filter(v => v > 0)))) : 0;
    const place = v => chart.log ? y + HEIGHT - (Math.log10(v) - low) / (Math.log10(top) - low || 1) * HEIGHT : y + HEIGHT - v / top * HEIGHT;
    if (scenario.incident) {
      g.fillStyle = colour('--incident');
      g.fillRect(edge(scenario.incident[0]), y, edge(scenario.incident[1]) - edge(scenario.incident[0]), HEIGHT);
    }
    g.fillStyle = colour('--quiet'); g.textAlign = 'left';
    g.fillText(chart.title, LEFT, y - 7);
    g.textAlign = 'right'; g.strokeStyle = colour('--line'); g.lineWidth = 1;
    for (const tick of ticks(chart, low, top)) {
      g.fillText(tick >= 1000 ? tick / 1000 + 'k' : tick, LEFT - 7, place(tick) + 4);
      g.beginPath(); g.moveTo(LEFT, place(tick)); g.lineTo(width - RIGHT, place(tick)); g.stroke();
    }
    const stroke = (t, of, name, alpha, thick) => {
      g.strokeStyle = colour(name); g.globalAlpha = alpha; g.lineWidth = thick; g.beginPath();
      let pen = false;
      for (let i = 0; i < bins; i++) {
        const v = of(t, i);
        if (v === null || !isFinite(v)) { pen = false; continue; }
        const at = [x(t.from + (i + .5) * t.width), place(v)];
        pen ? g.lineTo(...at) : g.moveTo(...at);
        if (!pen) g.lineTo(at[0] + .8, at[1]);
        pen = true;
      }
      g.stroke(); g.globalAlpha = 1;
    };
    if (chart.behind) {
      g.fillStyle = colour('--line'); g.globalAlpha = .7;
      for (let i = 0; i < bins; i++) { const v = chart.behind(first, i); g.fillRect(x(first.from + i * first.width), place(v), (width - LEFT - RIGHT) / bins + .5, y + HEIGHT - place(v)); }
      g.globalAlpha = 1;
    }
    for (const [t, name] of lines) {
      if (chart.second) stroke(t, chart.second, name, .45, 1);
      stroke(t, chart.of, name, .95, 1.6);
    }
    y += HEIGHT + GAP;
  }

  g.fillStyle = colour('--quiet'); g.textAlign = 'left';
  g.fillText('states, and alerts (▾)', LEFT, y - 7);
  for (const [t, name] of lines) {
    t.states.forEach(([from, state], i) => {
      const until = i + 1 < t.states.length ? t.states[i + 1][0] : t.from + span;
      g.fillStyle = colour(COLOURS[state]);
      g.fillRect(edge(from), y, Math.max(1, edge(until) - edge(from)), STRIP);
    });
    g.fillStyle = colour('--ink');
    for (const at of t.alerts) { g.beginPath(); g.moveTo(x(at) - 3.5, y - 1); g.lineTo(x(at) + 3.5, y - 1); g.lineTo(x(at), y + 6); g.fill(); }
    g.fillStyle = colour(name); g.fillRect(LEFT - 20, y + 2, 11, STRIP - 4);
    y += STRIP + 4;
  }
  if (scenario.incident) {
    g.strokeStyle = colour('--incident-edge'); g.lineWidth = 1; g.setLineDash([3, 3]);
    for (const at of scenario.incident) { g.beginPath(); g.moveTo(Math.round(edge(at)) + .5, 22); g.lineTo(Math.round(edge(at)) + .5, y - 4); g.stroke(); }
    g.setLineDash([]);
  }
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600].find(s => span / s <= 12) || 86400;
  g.fillStyle = colour('--quiet'); g.textAlign = 'center';
  for (let t = Math.ceil((first.from - zero) / step) * step; t <= first.from + span - zero; t += step) g.fillText(clock(t), Math.min(x(zero + t), width - g.measureText(clock(t)).width / 2), y + 14);
  let at = LEFT;
  g.textAlign = 'left'; y += 34;
  STATES.forEach((state, i) => {
    g.fillStyle = colour(COLOURS[i]); g.fillRect(at, y - 9, 11, 11);
    g.fillStyle = colour('--quiet'); g.fillText(state, at + 16, y + 1);
    at += g.measureText(state).width + 36;
  });
  $('note').textContent = `Seed ${data.seed}; time from the ${scenario.incident ? 'incident’s begin, which is shaded' : 'run’s begin'}; bins of ${+first.width.toFixed(1)} s by arrival. Grey: all arrivals. Faint: P99. Bad: failed, or slower than 250 ms.`;
}

function ticks(chart, low, top) {
  if (chart.log) return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].filter((v, i) => top / 10 ** low < 50 || i % 3 === 0).filter(v => Math.log10(v) >= low && v <= top);
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000].find(s => top / s <= 4.2) || 5000;
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
}

// --- the value under the pointer

$('charts').addEventListener('mousemove', event => {
  const { scenario, a, b } = chosen();
  const at = layout && (event.clientX - layout.canvas.getBoundingClientRect().left - LEFT) / (layout.width - LEFT - RIGHT);
  const i = layout ? Math.floor(at * layout.first.arrived.length) : -1;
  if (!(at >= 0 && at < 1)) { $('tip').hidden = true; return; }
  const { first, zero } = layout, time = first.from + (i + .5) * first.width;
  const rows = [['', data.systems[a], data.systems[b]]];
  const pair = of => [a, b].map(index => scenario.timelines[index]).map(of);
  const value = (v, unit) => v === null || !isFinite(v) ? '–' : (v < 10 ? v.toFixed(1) : v.toFixed(0)) + unit;
  rows.push(['arrivals', ...pair(t => value(t.arrived[i] / t.width, '/s'))]);
  rows.push(['admitted', ...pair(t => value(share(t.admitted[i], t.arrived[i]), ' %'))]);
  rows.push(['bad', ...pair(t => value(share(t.bad[i], t.admitted[i]), ' %'))]);
  rows.push(['median', ...pair(t => value(t.p50[i] || null, ' ms'))]);
  rows.push(['P99', ...pair(t => value(t.p99[i] || null, ' ms'))]);
  rows.push(['state', ...pair(t => STATES[t.states.filter(([from]) => from <= time).at(-1)?.[1] ?? 0])]);
  rows[0][0] = clock(time - zero);
  const table = document.createElement('table');
  for (const row of rows) { const tr = table.insertRow(); for (const cell of row) tr.insertCell().textContent = cell; }
  const tip = $('tip');
  tip.replaceChildren(table); tip.hidden = false;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';
});
$('charts').addEventListener('mouseleave', () => { $('tip').hidden = true; });

// --- scores

const number = v => v === null || v === undefined ? '–' : v === 0 ? '0' : v < .995 ? v.toFixed(2) : v < 9.95 ? v.toFixed(1) : v.toFixed(0);
const SCORES = [
  ['detect s', s => number(s.detect)], ['open s', s => number(s.open)], ['bad before open', s => s.bad_before_open.toFixed(0)],
  ['goodput %', s => (100 * s.goodput).toFixed(0)], ['good rejected', s => s.good_rejected.toFixed(0)], ['… after', s => s.good_rejected_after.toFixed(0)],
  ['closed after s', s => number(s.closed_after)], ['good after s', s => number(s.good_after)], ['premature closes', s => s.premature_closes.toFixed(1)],
  ['lost after', s => s.lost_after.toFixed(0)], ['false trips/day', s => number(s.false_trips)], ['false alerts/day', s => number(s.false_alerts)],
];
function tables() {
  const { scenario, a, b } = chosen();
  $('tables').replaceChildren();
  for (const { group, scores } of scenario.groups) {
    const heading = document.createElement('h3'), scroll = document.createElement('div'), table = document.createElement('table');
    heading.textContent = group; scroll.className = 'scroll';
    const head = table.createTHead().insertRow();
    for (const title of ['system', ...SCORES.map(([title]) => title)]) { const th = document.createElement('th'); th.textContent = title; head.append(th); }
    const body = table.createTBody();
    scores.forEach((score, index) => {
      if (!score) return;
      const row = body.insertRow();
      row.className = index === a ? 'a' : index === b ? 'b' : '';
      row.title = 'Show as system B';
      row.onclick = () => { $('b').value = index; show(); };
      row.insertCell().textContent = data.systems[index];
      for (const [, of] of SCORES) row.insertCell().textContent = of(score);
    });
    scroll.append(table); $('tables').append(heading, scroll);
  }
}

for (const id of ['scenario', 'a', 'b']) $(id).addEventListener('change', show);
$('swap').addEventListener('click', () => { [$('a').value, $('b').value] = [$('b').value, $('a').value]; show(); });
addEventListener('resize', draw);
addEventListener('hashchange', () => { load(); show(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
load();
show();
