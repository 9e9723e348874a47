// History charts (uPlot): mean as a line, lowest to highest as an envelope, the room's band as a ground, the outdoor reference beside it.
// Missing time stays missing: the axis is a full grid, a step without data is null and its ground is grey.
import { serverNow } from './clock.js';
import words, { duration, number, ui } from './words.js';

const HEIGHT = 230;
const COLOURS = ['--series-1', '--series-2', '--series-3'];
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function grid(history, step) {
  const times = history.series.flatMap((s) => s.buckets.map((b) => Date.parse(b.time)));
  if (!times.length) return null;
  const [from, to] = [Date.parse(history.from), Date.parse(history.to)];
  const first = times[0] - Math.floor((times[0] - from) / step) * step;
  const x = [];
  for (let t = first; t < to; t += step) x.push(t);
  return x;
}

function column(series, x, key) {
  const at = new Map(series.buckets.map((b) => [Date.parse(b.time), b[key]]));
  return x.map((t) => at.get(t) ?? null);
}

function fillGaps(u, ctx, rows) {
  ctx.fillStyle = css('--gap');
  const { top, height } = u.bbox;
  const half = rows.length > 1 ? (u.data[0][1] - u.data[0][0]) / 2 : 0;
  for (let i = 0; i < rows.length; i += 1) {
    if (rows[i] !== null) continue;
    const first = i;
    while (i + 1 < rows.length && rows[i + 1] === null) i += 1;
    const [left, right] = [u.valToPos(u.data[0][first] - half, 'x', true), u.valToPos(u.data[0][i] + half, 'x', true)];
    ctx.fillRect(left, top, right - left, height);
  }
}

function fillBand(u, ctx, band) {
  const [low, high] = band;
  const top = high === null ? u.bbox.top : Math.max(u.bbox.top, u.valToPos(high, 'y', true));
  const bottom = low === null ? u.bbox.top + u.bbox.height : Math.min(u.bbox.top + u.bbox.height, u.valToPos(low, 'y', true));
  if (bottom <= top) return;
  ctx.fillStyle = css('--band');
  ctx.fillRect(u.bbox.left, top, u.bbox.width, bottom - top);
}

export function ground(band, rows) {
  return (u) => {
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    u.ctx.clip();
    if (band) fillBand(u, u.ctx, band);
    fillGaps(u, u.ctx, rows);
    u.ctx.restore();
  };
}

/** From the lowest to the highest of what is shown and of the band; a series switched off in the legend does not count. */
export function range(band) {
  return (_, shownLow, shownHigh) => {
    const edges = [shownLow, shownHigh, ...(band ?? [])].filter((v) => v !== null && v !== undefined);
    const [low, high] = [Math.min(...edges), Math.max(...edges)];
    const room = Math.max((high - low) * 0.08, 0.5);
    return [low - room, high + room];
  };
}

/** Data columns and series of a chart; the first inside point carries the envelope. */
function build(history, x, quantity) {
  const value = (_, v) => (v === null || v === undefined ? '—' : number(quantity, v));
  const inside = history.series.filter((s) => !s.outdoor && s.buckets.length);
  const outside = history.series.find((s) => s.outdoor && s.buckets.length);
  const data = [];
  const series = [];
  const add = (rows, label, options) => {
    data.push(rows);
    series.push({ label, value, points: { show: false }, spanGaps: false, ...options });
  };
  if (inside.length) {
    add(column(inside[0], x, 'max'), ui('high'), { stroke: css('--envelope'), width: 1 });
    add(column(inside[0], x, 'min'), ui('low'), { stroke: css('--envelope'), width: 1 });
  }
  inside.slice(0, COLOURS.length).forEach((s, i) => {
    const name = inside.length > 1 ? `${ui('mean')} ${s.point.split('/')[1]}` : ui('mean');
    add(column(s, x, 'mean'), name, { stroke: css(COLOURS[i]), width: 1.6 });
  });
  if (outside) add(column(outside, x, 'mean'), ui('outdoor'), { stroke: css('--outdoor'), width: 1.2, dash: [5, 4] });
  const seen = x.map((_, i) => (inside.some((s, k) => data[k + 2][i] !== null) ? 0 : null));
  return { data, series, seen: inside.length ? seen : x.map(() => null) };
}

export const stamp = (options) => new Intl.DateTimeFormat(words.language === 'en' ? 'en-GB' : 'zh-CN', { timeZone: 'Asia/Shanghai', hour12: false, ...options });

/** What all axes of time share: days begin at midnight in Beijing, where the date stands; between them stand the hours. */
export function timeAxis(axis) {
  const [day, hour] = [stamp({ month: 'numeric', day: 'numeric' }), stamp({ hour: '2-digit', minute: '2-digit' })];
  return { ...axis, values: (_, ticks) => ticks.map((t) => ((t + 8 * 3_600_000) % 86_400_000 ? hour : day).format(new Date(t))) };
}
export const inBeijing = (at) => window.uPlot.tzDate(new Date(at), 'Asia/Shanghai');

function draw(box, history) {
  const step = Number(box.dataset.step);
  const x = grid(history, step);
  const hint = box.querySelector('[data-f="hint"]') ?? document.createElement('p');
  if (!x) {
    hint.textContent = ui('no_data');
    return;
  }
  const { data, series, seen } = build(history, x, box.dataset.quantity);
  const long = x.length * step > 3 * 86_400_000;
  const full = stamp({ month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  const axis = { stroke: css('--muted'), grid: { stroke: css('--line'), width: 0.5 }, ticks: { stroke: css('--line'), width: 0.5 }, font: `12px ${css('--font')}` };
  const options = {
    width: box.clientWidth,
    height: HEIGHT,
    ms: 1,
    tzDate: inBeijing,
    cursor: { sync: { key: `room-${long}` }, points: { size: 5 } },
    scales: { x: { time: true }, y: { range: range(history.band) } },
    series: [{ label: ui('bucket', { span: duration(step) }), value: (_, v) => (v === null ? '—' : full.format(new Date(v))) }, ...series],
    bands: series.length > 1 ? [{ series: [1, 2], fill: css('--envelope') }] : [],
    axes: [
      timeAxis(axis),
      { ...axis, size: 46, values: (_, ticks) => ticks.map((t) => String(t)) },
    ],
    hooks: { drawClear: [ground(history.band, seen)] },
  };
  box.replaceChildren();
  return new window.uPlot(options, [x, ...data], box);
}

async function one(box) {
  try {
    const answer = await fetch(box.dataset.history + movingRange(box));
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    draw(box, await answer.json());
  } catch (error) {
    console.warn('chart not drawn', error);
    const hint = box.querySelector('[data-f="hint"]');
    if (hint) hint.textContent = ui('failed');
  }
}

/** The asked range moves with time: its length stays, its end is now. */
function movingRange(box) {
  const length = Number(box.dataset.end) - Number(box.dataset.start);
  const end = serverNow();
  return `&from=${new Date(end - length).toISOString()}&to=${new Date(end).toISOString()}`;
}

export function drawAll() {
  const boxes = [...document.querySelectorAll('[data-history]')];
  if (!window.uPlot) {
    boxes.forEach((box) => box.classList.add('without'));
    return;
  }
  boxes.forEach(one);
}
