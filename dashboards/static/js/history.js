// History for inspectors: one chart per quantity, rooms beside each other, the range in the address. A brush, keys and links all change the address.
import { css, ground, inBeijing, range, stamp, timeAxis } from './chart.js';
import { duration, number, ui } from './words.js';

const HEIGHT = 260;
const COLOURS = ['--series-1', '--series-2', '--series-3', '--urgent'];
const boxes = [...document.querySelectorAll('.chart[data-rooms]')];
const ask = document.getElementById('ask');

/** The time as the inputs of the page write it: Beijing, to the minute. */
function written(ms) {
  return new Date(ms + 8 * 3_600_000).toISOString().slice(0, 16);
}

function go(start, end) {
  const query = new URLSearchParams(new FormData(ask));
  query.delete('span');
  query.set('since', written(start));
  query.set('until', written(Math.max(end, start + 600_000)));
  location.assign(`?${[...query].filter(([, value]) => value !== '').map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&')}`);
}

const byHand = (s) => s.point.startsWith('manual/');
const first = (view) => view.series.find((s) => !s.outdoor && !byHand(s) && s.buckets.length);
const writtenDown = (view) => view.series.find((s) => byHand(s) && s.buckets.length);
const outside = (view) => view.series.find((s) => s.outdoor && s.buckets.length);

function axisOf(views, step, start, end) {
  const anchor = views.flatMap((v) => v.series.flatMap((s) => s.buckets.slice(0, 1).map((b) => Date.parse(b.time))))[0];
  if (anchor === undefined) return null;
  const x = [];
  for (let t = anchor - Math.ceil((anchor - start) / step) * step; t < end; t += step) x.push(t);
  return x;
}

function column(series, x, key) {
  const at = new Map(series.buckets.map((b) => [Date.parse(b.time), b[key]]));
  return x.map((t) => at.get(t) ?? null);
}

/** Values taken by hand, only where they were taken: a dial read at nine says nothing about noon. */
function taken(series, x) {
  const at = new Map(series.buckets.filter((b) => b.count).map((b) => [Date.parse(b.time), b.mean]));
  return x.map((t) => at.get(t) ?? null);
}

function columns(views, x, box) {
  const names = box.dataset.names.split('|');
  const value = (_, v) => (v === null || v === undefined ? '—' : number(box.dataset.quantity, v));
  const data = [];
  const series = [];
  const add = (rows, label, options) => {
    data.push(rows);
    series.push({ label, value, points: { show: false }, spanGaps: false, ...options });
  };
  const own = first(views[0]);
  if (own) {
    add(column(own, x, 'max'), ui('high'), { stroke: css('--envelope'), width: 1 });
    add(column(own, x, 'min'), ui('low'), { stroke: css('--envelope'), width: 1 });
  }
  views.forEach((view, i) => {
    const found = first(view);
    if (found) add(column(found, x, 'mean'), views.length > 1 ? names[i] : ui('mean'), { stroke: css(COLOURS[i]), width: 1.6 });
  });
  views.forEach((view, i) => {
    const entries = writtenDown(view);
    const dots = { show: true, size: 8, width: 1.5, stroke: css(COLOURS[i]), fill: css('--raised') };
    if (entries) add(taken(entries, x), `${views.length > 1 ? names[i] : ''}${ui('by_hand')}`, { stroke: css(COLOURS[i]), width: 0, paths: () => null, points: dots });
  });
  const reference = outside(views[0]);
  if (reference) add(column(reference, x, 'mean'), ui('outdoor'), { stroke: css('--outdoor'), width: 1.2, dash: [5, 4] });
  const seen = own ? column(own, x, 'mean').map((v) => (v === null ? null : 0)) : x.map(() => null);
  return { data, series, seen, envelope: Boolean(own) };
}

/** A dashed line where a person left a remark. */
function remarks(box) {
  const times = box.dataset.remarks ? box.dataset.remarks.split(',').map(Number) : [];
  return (u) => {
    u.ctx.save();
    u.ctx.strokeStyle = css('--text');
    u.ctx.setLineDash([3, 3]);
    for (const t of times) {
      const at = u.valToPos(t, 'x', true);
      if (at < u.bbox.left || at > u.bbox.left + u.bbox.width) continue;
      u.ctx.beginPath();
      u.ctx.moveTo(at, u.bbox.top);
      u.ctx.lineTo(at, u.bbox.top + u.bbox.height);
      u.ctx.stroke();
    }
    u.ctx.restore();
  };
}

const spans = (text) => (text ? text.split(',').map((part) => part.split('-')) : []);
const LEVEL = { critical: '--critical', urgent: '--urgent', alarm: '--alarm', warn: '--warn' };

/** Alarms as bars along the top, open doors along the bottom; never narrower than two pixels, so that none is lost. */
function strips(box) {
  const alarms = spans(box.dataset.alarms);
  const doors = spans(box.dataset.doors);
  return (u) => {
    const height = 5 * devicePixelRatio;
    const bar = (since, until, top, colour) => {
      const left = Math.max(u.bbox.left, u.valToPos(Number(since), 'x', true));
      const right = Math.min(u.bbox.left + u.bbox.width, u.valToPos(Number(until), 'x', true));
      if (right < u.bbox.left || left > u.bbox.left + u.bbox.width) return;
      u.ctx.fillStyle = colour;
      u.ctx.fillRect(left, top, Math.max(2 * devicePixelRatio, right - left), height);
    };
    u.ctx.save();
    for (const [since, until, level] of alarms) bar(since, until, u.bbox.top, css(LEVEL[level] ?? '--alarm'));
    for (const [since, until] of doors) bar(since, until, u.bbox.top + u.bbox.height - height, css('--series-2'));
    u.ctx.restore();
  };
}

function draw(box, views) {
  const [start, end] = [Number(box.dataset.start), Number(box.dataset.end)];
  const step = views[0].step_s * 1000;
  const x = axisOf(views, step, start, end);
  const hint = box.querySelector('[data-f="hint"]');
  if (!x) {
    hint.textContent = ui('no_data');
    return;
  }
  const { data, series, seen, envelope } = columns(views, x, box);
  const full = stamp({ month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  const axis = { stroke: css('--muted'), grid: { stroke: css('--line'), width: 0.5 }, ticks: { stroke: css('--line'), width: 0.5 }, font: `12px ${css('--font')}` };
  box.replaceChildren();
  new window.uPlot({
    width: box.clientWidth,
    height: HEIGHT,
    ms: 1,
    tzDate: inBeijing,
    cursor: { sync: { key: 'history' }, points: { size: 5 }, drag: { x: true, y: false, setScale: false } },
    scales: { x: { time: true }, y: { range: range(views[0].band) } },
    series: [{ label: ui('bucket', { span: duration(step) }), value: (_, v) => (v === null ? '—' : full.format(new Date(v))) }, ...series],
    bands: envelope ? [{ series: [1, 2], fill: css('--envelope') }] : [],
    axes: [timeAxis(axis), { ...axis, size: 50, values: (_, ticks) => ticks.map(String) }],
    hooks: {
      drawClear: [ground(views[0].band, seen)],
      draw: [remarks(box), strips(box)],
      setSelect: [(u) => u.select.width > 8 && go(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'))],
    },
  }, [x, ...data], box);
}

async function one(box) {
  const query = new URLSearchParams(box.dataset.rooms.split(',').map((room) => ['room', room]));
  query.set('quantity', box.dataset.quantity);
  query.set('from', new Date(Number(box.dataset.start)).toISOString());
  query.set('to', new Date(Number(box.dataset.end)).toISOString());
  query.set('pixels', String(Math.max(100, Math.min(2000, Math.round(box.clientWidth / 2)))));
  try {
    const answer = await fetch(`/api/v1/history?${query}`);
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    draw(box, await answer.json());
  } catch (error) {
    console.warn('chart not drawn', error);
    const hint = box.querySelector('[data-f="hint"]');
    if (hint) hint.textContent = ui('failed');
  }
}

function keys(event) {
  const [start, end] = [Number(event.currentTarget.dataset.start), Number(event.currentTarget.dataset.end)];
  const quarter = (end - start) / 4;
  const moves = { ArrowLeft: [-1, -1], ArrowRight: [1, 1], '+': [1, -1], '=': [1, -1], '-': [-2, 2] };
  const move = moves[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  go(start + move[0] * quarter, end + move[1] * quarter);
}

for (const box of boxes) {
  box.addEventListener('keydown', keys);
  box.addEventListener('dblclick', () => location.assign(document.getElementById('longer').href));
}

ask.addEventListener('change', (event) => {
  if (event.target.matches('[type="checkbox"], select')) go(Date.parse(`${document.getElementById('since').value}+08:00`), Date.parse(`${document.getElementById('until').value}+08:00`));
});
ask.querySelector('[data-range]').addEventListener('click', (event) => {
  event.preventDefault();
  go(Date.parse(`${document.getElementById('since').value}+08:00`), Date.parse(`${document.getElementById('until').value}+08:00`));
});

const copy = document.getElementById('copy');
copy.addEventListener('click', () => {
  const field = document.createElement('input');
  field.value = location.href.includes('since=') ? location.href : `${location.origin}${location.pathname}?since=${document.getElementById('since').value}&until=${document.getElementById('until').value}`;
  document.body.append(field);
  field.select();
  document.execCommand('copy'); // the newer clipboard interface is missing on plain HTTP, which intranets use
  field.remove();
  copy.textContent = copy.dataset.done;
});

addEventListener('load', () => (window.uPlot ? boxes.forEach(one) : boxes.forEach((box) => box.classList.add('without'))));
