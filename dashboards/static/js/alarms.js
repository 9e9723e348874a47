// Lists that follow the alarms: fetched anew on every alarm event, and now and then for what has no event (values, receipts).
import { refresher } from './parts.js';

const list = document.getElementById('list');
const refresh = refresher(list);
const watched = list.dataset.watch?.split(' ');

const dialog = document.getElementById('dialog');
let owed = false;

function filledIn() {
  const changed = ({ type, value, checked, defaultValue, defaultChecked }) =>
    type === 'checkbox' || type === 'radio' ? checked !== defaultChecked : type !== 'hidden' && value !== defaultValue;
  return [...document.querySelectorAll('form.command :is(input, textarea)')].some(changed);
}

// Never under the hands of somebody who answers, and not lost either: it is made up for when the hands are off.
function reload() {
  owed = dialog.open || Boolean(document.activeElement?.closest('form')) || filledIn();
  if (owed) return;
  document.body.inert = true; // what is touched from here on would vanish with the page
  location.reload();
}

// One tick for all of the page.
list.addEventListener('change', ({ target }) => {
  if (!target.dataset.all) return;
  for (const box of list.querySelectorAll(`input[name="${target.dataset.all}"]`)) box.checked = target.checked;
});

// The line of the last hours comes by itself, after the page.
const trend = document.getElementById('trend');
if (trend) {
  const draw = refresher(trend);
  draw();
  setInterval(draw, 60_000);
}

if (watched) {
  // One alarm, or those of an incident: the commands change with them, so the page as a whole.
  document.addEventListener('aw:alarm', (event) => watched.includes(String(event.detail.alarm.id)) && reload());
  const later = () => owed && setTimeout(reload); // the focus is still on its way
  dialog.addEventListener('close', later);
  document.addEventListener('focusout', later);
} else {
  document.addEventListener('aw:alarm', refresh);
  document.addEventListener('aw:snapshot', refresh);
  setInterval(refresh, Number(list.dataset.every ?? 10_000));
}
