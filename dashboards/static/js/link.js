// The page's own link to the centre: one EventSource, a word for its state on every page, and a page that turns grey when nothing arrives any more.
import { clock, serverNow, sync } from './clock.js';
import { ui } from './words.js';

const SILENT_MS = 10_000;
const HIDDEN_MS = 300_000;
const EVENTS = ['snapshot', 'tiles', 'alarm', 'notice', 'ping'];
const sign = document.getElementById('link');
const strip = document.getElementById('lost');

let source = null;
let heardAt = Date.now();
let heardServer = serverNow();
let wait = 2000;
let signedOut = false;

function show(state, text) {
  if (sign.classList.contains(state) && sign.querySelector('[data-f="link"]').textContent === text) return;
  sign.className = `link ${state}`;
  sign.querySelector('[data-f="link"]').textContent = text;
}

function heard(event) {
  const data = JSON.parse(event.data);
  sync(data.now);
  heardAt = Date.now();
  heardServer = serverNow();
  wait = 2000;
  document.body.classList.remove('link-dead');
  strip.hidden = true;
  show('live', ui('live'));
  document.dispatchEvent(new CustomEvent(`aw:${event.type}`, { detail: data }));
}

function over() {
  signedOut = true;
  source.close();
  document.body.classList.add('link-dead');
  strip.textContent = ui('signed_out');
  strip.hidden = false;
  show('lost', ui('lost', { time: clock(heardServer) }));
}

// An EventSource retries by itself after a broken connection, but gives up after an HTTP error: then it is up to us.
async function failed() {
  if (signedOut) return;
  if (!document.body.classList.contains('link-dead')) show('reconnecting', ui('reconnecting'));
  if (source.readyState !== EventSource.CLOSED) return;
  const answer = await fetch('/api/v1/session').catch(() => null);
  if (answer && answer.status === 401) return over();
  setTimeout(connect, wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, 30_000);
}

function connect() {
  source = new EventSource(document.body.dataset.stream);
  EVENTS.forEach((name) => source.addEventListener(name, heard));
  source.addEventListener('bye', (event) => {
    if (JSON.parse(event.data).reason === 'session') over();
  });
  source.onerror = failed;
}

function watch() {
  if (signedOut || Date.now() - heardAt < SILENT_MS) return;
  const time = clock(heardServer);
  document.body.classList.add('link-dead');
  show('lost', ui('lost', { time }));
  if (strip.hidden) {
    strip.textContent = ui('stopped', { time });
    strip.hidden = false;
  }
}

// A browser opens six connections to one server: a forgotten tab must not hold one for ever. Whoever comes back gets a new snapshot.
let hiddenSince = null;

function rest() {
  if (!document.hidden) {
    if (hiddenSince !== null && source.readyState === EventSource.CLOSED && !signedOut) connect();
    hiddenSince = null;
    return;
  }
  if (document.body.classList.contains('sounds')) return; // this tab is what somebody listens to
  hiddenSince ??= Date.now();
  if (Date.now() - hiddenSince > HIDDEN_MS) source.close();
}

if (document.body.dataset.stream) {
  connect();
  setInterval(watch, 1000);
  setInterval(rest, 1000);
  document.addEventListener('visibilitychange', rest);
  document.addEventListener('aw:notice', (event) => {
    const toast = document.createElement('div');
    toast.className = 'toast';
    toast.textContent = event.detail.notice.text;
    document.getElementById('toast').replaceChildren(toast);
  });
}
