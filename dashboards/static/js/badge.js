// How many alarms wait for somebody, in the title of the tab.
const WAITING = ['active_unacked', 'cleared_unacked', 'latched_unacked'];
const title = document.title;
const waiting = new Set();

function note(alarm) {
  if (!alarm.closed && WAITING.includes(alarm.state)) waiting.add(alarm.id);
  else waiting.delete(alarm.id);
}

function show() {
  document.title = waiting.size ? `(${waiting.size}) ${title}` : title;
}

document.addEventListener('aw:snapshot', (event) => {
  waiting.clear();
  event.detail.alarms.forEach(note);
  show();
});
document.addEventListener('aw:alarm', (event) => {
  note(event.detail.alarm);
  show();
});
