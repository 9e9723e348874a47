// Who watches is put together by name: what is typed finds people of the unit by name, pinyin or number. A textarea holds a turn to a line, a list of
// choices one day's people. Without this script both take names by hand.
import { ui } from './words.js';

const MOST = 8;
const SETTLE_MS = 300;
const staff = JSON.parse(document.getElementById('staff').textContent);
const known = new Map(staff.map((person) => [person.code, person]));

function element(name, changes = {}, ...children) {
  const made = Object.assign(document.createElement(name), changes);
  made.append(...children);
  return made;
}

function matching(text, taken) {
  const wanted = text.trim().toLowerCase();
  return staff.filter((person) => !taken.includes(person.code) && person.search.includes(wanted)).slice(0, MOST);
}

/** One turn: its people as chips, and a field that offers those who fit what is typed. `changed()` after each change of `codes`. */
function turn(codes, label, changed) {
  const chips = element('span', { className: 'chips' });
  const field = element('input', { type: 'search', autocomplete: 'off', placeholder: ui('pick_person') });
  const offers = element('span', { className: 'offers' });
  field.setAttribute('aria-label', `${label} ${ui('pick_person')}`);

  const offer = () => {
    const fitting = document.activeElement === field || field.value ? matching(field.value, codes) : [];
    offers.replaceChildren(...fitting.map((person) => {
      const choice = element('button', { type: 'button', textContent: person.name }, element('small', { textContent: ` ${person.code}` }));
      // Before the field loses the focus and its offers with it.
      choice.addEventListener('pointerdown', (event) => event.preventDefault());
      choice.addEventListener('click', () => add(person.code));
      return choice;
    }));
  };
  const draw = () => {
    chips.replaceChildren(...codes.map((code) => {
      const name = known.get(code)?.name ?? code;
      const out = element('button', { type: 'button', className: 'plain', textContent: '×' });
      out.setAttribute('aria-label', ui('pick_out', { name }));
      out.addEventListener('click', () => { codes.splice(codes.indexOf(code), 1); draw(); changed(); });
      return element('span', { className: 'chip' }, name, out);
    }));
  };
  const add = (code) => {
    codes.push(code);
    field.value = '';
    draw();
    changed();
    field.focus();
    offer();
  };
  field.addEventListener('input', offer);
  field.addEventListener('focus', offer);
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault(); // the form is sent by its button alone
    const [first] = field.value.trim() ? matching(field.value, codes) : [];
    if (first) add(first.code);
  });
  const whole = element('span', { className: 'turn' }, chips, field, offers);
  // Not at once: what stands below would move away under the finger that has just pressed it.
  whole.addEventListener('focusout', () => setTimeout(() => { if (!whole.contains(document.activeElement)) offers.replaceChildren(); }, SETTLE_MS));
  draw();
  return whole;
}

/** A rotation: turns in their order, an empty one always at the end. */
function rotation(text) {
  const turns = text.value.split('\n').map((line) => line.split(/\s+/).filter(Boolean)).filter((codes) => codes.length);
  const list = element('ol', { className: 'turns' });
  const store = () => { text.value = turns.filter((codes) => codes.length).map((codes) => codes.join(' ')).join('\n'); };
  const grow = () => {
    if (turns.length && !turns[turns.length - 1].length) return;
    const next = [];
    turns.push(next);
    show(next);
  };
  const show = (codes) => {
    const label = ui('pick_turn', { n: list.children.length + 1 });
    list.append(element('li', {}, turn(codes, label, () => { store(); grow(); })));
  };
  turns.forEach(show);
  grow();
  text.required = false; // an empty rotation is refused by the server with a sentence; a hidden field could not be pointed at
  text.hidden = true;
  text.closest('label').after(list); // not within it: a label belongs to one field
}

/** The people of one day. */
function day(select) {
  const codes = [...select.selectedOptions].map((option) => option.value);
  const store = () => { for (const option of select.options) option.selected = codes.includes(option.value); };
  select.hidden = true;
  select.closest('label').after(turn(codes, '', store));
}

document.querySelectorAll('textarea[data-picker]').forEach(rotation);
document.querySelectorAll('select[data-picker]').forEach(day);
