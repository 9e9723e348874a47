// Lists that follow the alarms: fetched anew on every alarm event, and now and then for what has no event (values, receipts).
import { refresher } from './parts.js';

const list = document.getElementById('list');
const refresh = refresher(list);
const one = list.dataset.watch;

function typing() {
  const active = document.activeElement;
  return active && active.closest('form') !== null;
}

if (one) {
  // One alarm: its commands change with it, so the page as a whole; never under the hands of somebody who types.
  document.addEventListener('aw:alarm', (event) => {
    if (String(event.detail.alarm.id) === one && !typing()) location.reload();
  });
} else {
  document.addEventListener('aw:alarm', refresh);
  document.addEventListener('aw:snapshot', refresh);
  setInterval(refresh, 10_000);
}
