// Papers: while one is being made, the list is fetched again every two seconds.
import { refresher } from './parts.js';

const list = document.getElementById('jobs');
const refresh = refresher(list);

setInterval(() => {
  const inner = list.querySelector('[data-busy]');
  if (inner && inner.dataset.busy && !document.hidden) refresh();
}, 2000);
