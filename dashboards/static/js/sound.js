// The horn of the page: it sounds while alarms wait for somebody, by level, until they are taken over or silenced here. Silencing takes over nothing,
// and whatever asks anew is heard again. What it has no permission or no device for, it says.
import words, { ui } from './words.js';

const LEVELS = ['warn', 'alarm', 'urgent', 'critical'];
const WAITING = ['active_unacked', 'latched_unacked'];
const LOST = 'lost';
// Per level: each how many seconds, and its notes as [Hz, seconds]. The last one is a loss of the line to the centre.
const TONES = {
  warn: { every: 60, notes: [[523, 0.15]] },
  alarm: { every: 30, notes: [[659, 0.2], [523, 0.2]] },
  urgent: { every: 8, notes: [[784, 0.25], [622, 0.25], [784, 0.25]] },
  critical: { every: 2, notes: [[988, 0.4], [740, 0.4], [988, 0.4], [740, 0.4]] },
  [LOST]: { every: 15, notes: [[330, 0.3], [262, 0.5]] },
};
const GAIN = 0.25;

const control = document.getElementById('sound');
const horn = document.getElementById('horn');
const choice = control?.querySelector('select');
const what = horn?.querySelector('[data-f="what"]');
const waiting = new Map();
const silenced = new Map(JSON.parse(localStorage.getItem('aw-silenced') ?? '[]'));
const played = new Map();
let context = null;

/** What an alarm asks with: a higher level or another occurrence asks anew. */
const asks = (alarm) => `${alarm.level}/${alarm.occurrence}`;

function keep() {
  localStorage.setItem('aw-silenced', JSON.stringify([...silenced]));
}

function note(alarm) {
  // What a group speaks for, what is paused and what is over makes no noise of its own.
  if (!alarm.closed && WAITING.includes(alarm.state) && alarm.group === null) {
    waiting.set(alarm.id, alarm);
  } else {
    waiting.delete(alarm.id);
    if (silenced.delete(alarm.id)) keep();
  }
}

function hush(alarm) {
  silenced.set(alarm.id, asks(alarm));
  keep();
}

function heard() {
  const least = LEVELS.indexOf(choice.value);
  if (least < 0) return [];
  return [...waiting.values()].filter((alarm) => LEVELS.indexOf(alarm.level) >= least && silenced.get(alarm.id) !== asks(alarm));
}

const worst = (alarms) => alarms.reduce((level, alarm) => (LEVELS.indexOf(alarm.level) > LEVELS.indexOf(level) ? alarm.level : level), 'warn');

/** Why nothing can be heard: '' when it can. */
function trouble() {
  if (!window.AudioContext) return 'sound_none';
  context ??= new AudioContext();
  return context.state === 'running' ? '' : 'sound_blocked';
}

function play(name) {
  const { every, notes } = TONES[name];
  const now = performance.now();
  if (now - (played.get(name) ?? -Infinity) < every * 1000 - 100) return;
  played.set(name, now);
  let at = context.currentTime;
  for (const [hertz, seconds] of notes) {
    const tone = context.createOscillator();
    const loud = context.createGain();
    tone.frequency.value = hertz;
    loud.gain.setValueAtTime(GAIN, at);
    loud.gain.setTargetAtTime(0, at + seconds * 0.8, seconds * 0.06); // without it each note ends in a click
    tone.connect(loud).connect(context.destination);
    tone.start(at);
    tone.stop(at + seconds);
    at += seconds;
  }
}

function say(text) {
  if (what.textContent !== text) what.textContent = text;
  horn.hidden = !text;
  control.classList.toggle('sounding', text !== '');
}

let lostSilenced = false;

function beat() {
  const on = choice.value !== 'off';
  const dead = document.body.classList.contains('link-dead');
  const alarms = dead ? [] : heard();
  lostSilenced &&= dead;
  document.body.classList.toggle('sounds', on);
  const why = on ? trouble() : '';
  control.classList.toggle('blocked', why !== '');
  control.title = why && ui(why);
  const name = dead && on && !lostSilenced ? LOST : alarms.length ? worst(alarms) : '';
  if (!name) return say('');
  const text = name === LOST ? ui('sound_lost') : ui('sounding', { n: alarms.length, level: words.level[name] });
  say(why ? `${text} · ${ui(why)}` : text);
  if (why) return;
  play(name);
  alarms.filter((alarm) => alarm.drill).forEach(hush); // a drill is heard once
}

function silence() {
  if (document.body.classList.contains('link-dead')) lostSilenced = true;
  heard().forEach(hush);
  beat();
}

if (control && document.body.dataset.stream) {
  choice.value = localStorage.getItem('aw-sound') ?? control.dataset.default;
  if (!choice.value) choice.value = control.dataset.default;
  choice.addEventListener('change', () => {
    localStorage.setItem('aw-sound', choice.value);
    if (choice.value !== 'off' && !trouble()) play('warn'); // so one hears at once that one will hear
    beat();
  });
  horn.querySelector('[data-f="silence"]').addEventListener('click', silence);
  // Browsers let a page sound only after somebody has touched it.
  document.addEventListener('pointerdown', () => context?.resume(), { capture: true });
  for (const name of ['pointerup', 'keydown']) document.addEventListener(name, () => context?.resume().then(beat), { capture: true });
  document.addEventListener('aw:snapshot', (event) => {
    waiting.clear();
    event.detail.alarms.forEach(note);
    const open = new Set(event.detail.alarms.map((alarm) => alarm.id));
    [...silenced.keys()].filter((id) => !open.has(id)).forEach((id) => silenced.delete(id));
    keep();
    beat();
  });
  document.addEventListener('aw:alarm', (event) => {
    const { alarm } = event.detail;
    if (alarm.annunciate) {
      silenced.delete(alarm.id);
      played.clear(); // what is new is heard now, not when the turn of the old comes
    }
    note(alarm);
    beat();
  });
  setInterval(beat, 1000);
}
