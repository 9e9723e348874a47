// One room: what changes follows the stream, charts are drawn from the history interface.
import { drawAll } from './chart.js';
import { refresher } from './parts.js';

const refresh = refresher(document.getElementById('live'));

const code = new URL(document.body.dataset.stream, location).searchParams.get('room');

for (const name of ['aw:tiles', 'aw:snapshot']) document.addEventListener(name, refresh);
document.addEventListener('aw:alarm', ({ detail }) => [null, code].includes(detail.alarm.room) && refresh());
setInterval(refresh, 15_000);
addEventListener('load', drawAll);
setInterval(() => document.hidden || drawAll(), 120_000);
