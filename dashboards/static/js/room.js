// One room: values and alarms follow the stream, charts are drawn from the history interface.
import { drawAll } from './chart.js';
import { refresher } from './parts.js';

const live = refresher(document.getElementById('live'));
const alarms = refresher(document.getElementById('list'));

document.addEventListener('aw:tiles', live);
document.addEventListener('aw:snapshot', live);
for (const name of ['aw:alarm', 'aw:snapshot']) document.addEventListener(name, alarms);
setInterval(alarms, 10_000);
addEventListener('load', () => drawAll());
setInterval(() => document.hidden || drawAll(), 120_000);
