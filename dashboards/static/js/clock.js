// The server's time in the browser, and everything on the page that changes because time passes.
import words, { age, duration, ui } from './words.js';

let offset = Number(document.body.dataset.now) - Date.now();

/** Now, in UTC milliseconds of the server. */
export const serverNow = () => Date.now() + offset;

/** Learn the server's time from an event (ISO 8601). */
export function sync(iso) {
  offset = Date.parse(iso) - Date.now();
}

const BEIJING = new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Shanghai', hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });

/** hh:mm:ss in Beijing. */
export const clock = (ms) => BEIJING.format(new Date(ms));

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A value past its deadline is stale on the page too, even if no event says so. */
function expire(element, now) {
  const until = Number(element.dataset.until);
  if (!until || now < until || element.classList.contains('q-stale')) return;
  element.classList.remove('q-good', 'q-uncertain');
  element.classList.add('q-stale');
  const quality = element.querySelector('[data-f="quality"]');
  if (quality) quality.textContent = words.quality.stale;
}

function countDown(form, now) {
  const left = Math.ceil((Number(form.dataset.undoUntil) - now) / 1000);
  if (left <= 0) form.remove();
  else write(form.querySelector('[data-f="undo"]'), ui('undo_left', { n: left }));
}

export function tick(root = document) {
  const now = serverNow();
  root.querySelectorAll('[data-at]').forEach((e) => write(e, age(now - Number(e.dataset.at))));
  root.querySelectorAll('[data-since]').forEach((e) => write(e, duration(now - Number(e.dataset.since))));
  root.querySelectorAll('[data-until]').forEach((e) => expire(e, now));
  root.querySelectorAll('[data-undo-until]').forEach((e) => countDown(e, now));
  root.querySelectorAll('[data-clock]').forEach((e) => write(e, clock(now)));
}

setInterval(tick, 1000);
