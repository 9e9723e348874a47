// Lists that follow the alarms: fetched anew on every alarm event, and now and then for what has no event (values, receipts).
import { refresher } from './parts.js';

const list = document.getElementById('list');
const refresh = refresher(list);
const watched = list.dataset.watch?.split(' ');

function typing() {
  const active = document.activeElement;
  return active && active.closest('form') !== null;
}

if (watched) {
  // One alarm, or those of an incident: the commands change with them, so the page as a whole; never under the hands of somebody who types.
  document.addEventListener('aw:alarm', (event) => {
    if (watched.includes(String(event.detail.alarm.id)) && !typing()) location.reload();
  });
} else {
  document.addEventListener('aw:alarm', refresh);
  document.addEventListener('aw:snapshot', refresh);
  setInterval(refresh, 10_000);
}
