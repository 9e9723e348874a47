// The board: values are written in place; when a state, an alarm or a count differs from what is shown, the grid is fetched anew, so that order,
// filter and paging stay those of the server.
import { refresher } from './parts.js';
import words, { number } from './words.js';

const grid = document.getElementById('grid');
const refresh = refresher(grid, 1500);

const RESTING = { power: 1 };

/** Marks a good value outside of its range, and a state other than at rest. */
function writeSide(element, value) {
  const { low, high, quantity } = element.dataset;
  if (element.classList.contains('contact')) {
    element.classList.toggle('on', value.value !== null && value.value !== (RESTING[quantity] ?? 0));
    return;
  }
  const judged = value.quality === 'good' && value.value !== null;
  const side = judged && high !== '' && value.value > Number(high) ? 'above' : judged && low !== '' && value.value < Number(low) ? 'below' : '';
  element.classList.toggle('out', side !== '');
  element.querySelector('[data-f="side"]').textContent = side ? words.side[side] : '';
}

function writeValue(element, quantity, value) {
  element.className = element.className.replace(/\bq-\w+/, `q-${value.quality}`);
  element.dataset.until = value.until ? String(Date.parse(value.until)) : '';
  element.querySelector('[data-f="value"]').textContent = number(quantity, value.value);
  const quality = element.querySelector('[data-f="quality"]');
  quality.textContent = element.classList.contains('contact') && value.quality === 'good' ? '' : words.quality[value.quality];
  writeSide(element, value);
  const at = element.querySelector('[data-at]');
  if (at && value.at) at.dataset.at = String(Date.parse(value.at));
}

/** Writes a tile's values; says whether the server must draw it anew. */
function writeTile(tile) {
  const element = grid.querySelector(`[data-room="${CSS.escape(tile.room)}"]`);
  if (!element) return false;
  for (const [quantity, value] of Object.entries(tile.values)) {
    const place = element.querySelector(`[data-quantity="${quantity}"]`);
    if (!place || (value.at && !place.querySelector('[data-at]') && place.classList.contains('reading'))) return true;
    writeValue(place, quantity, value);
  }
  const alarm = tile.worst_alarm ? `${tile.worst_alarm.id}${tile.worst_alarm.state}` : '';
  return element.dataset.state !== tile.group || element.dataset.cause !== tile.cause || element.dataset.alarm !== alarm;
}

function countsDiffer(counts) {
  return [...grid.querySelectorAll('[data-group]')].some((e) => Number(e.querySelector('[data-f="count"]').textContent) !== (counts[e.dataset.group] ?? 0));
}

function take(event) {
  const { tiles, counts, now } = event.detail;
  const changed = tiles.map(writeTile).some(Boolean);
  const newest = Math.max(0, ...tiles.flatMap((t) => Object.values(t.values).map((v) => (v.at ? Date.parse(v.at) : 0))));
  const latest = grid.querySelector('[data-f="latest"]');
  if (latest && newest > Number(latest.dataset.at)) latest.dataset.at = String(Math.min(newest, Date.parse(now)));
  // A stream of a whole province counts more rooms than a board narrowed to one unit: then counts say nothing.
  const narrowed = /[?&]unit=/.test(grid.dataset.part);
  if (changed || (!narrowed && countsDiffer(counts))) refresh();
}

document.addEventListener('aw:tiles', take);
document.addEventListener('aw:snapshot', take);
document.addEventListener('aw:alarm', refresh);
