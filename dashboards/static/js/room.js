// One room: what changes follows the stream, charts are drawn from the history interface.
import { drawAll } from './chart.js';
import { refresher } from './parts.js';

const refresh = refresher(document.getElementById('live'));

for (const name of ['aw:tiles', 'aw:snapshot', 'aw:alarm']) document.addEventListener(name, refresh);
setInterval(refresh, 15_000);
addEventListener('load', drawAll);
setInterval(() => document.hidden || drawAll(), 120_000);
