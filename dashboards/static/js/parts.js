// Parts of a page that the server renders anew: fetched when something has changed, at most once in a while, with the focus kept where it was.
import { tick } from './clock.js';

const GAP_MS = 1000;

const tickOf = (box) => `input[type="checkbox"][name="${CSS.escape(box.name)}"][value="${CSS.escape(box.value)}"]`;

function focusKey(part) {
  const active = document.activeElement;
  if (!part.contains(active)) return null;
  if (active.matches('[type="checkbox"]')) return tickOf(active);
  return active.getAttribute('href') ? `[href="${CSS.escape(active.getAttribute('href'))}"]` : null;
}

function typedInto(part) {
  return part.contains(document.activeElement) && document.activeElement.matches('input:not([type="checkbox"]), textarea, select');
}

async function load(part) {
  if (typedInto(part)) return undefined; // never under the hands of somebody who types; the next event asks again
  const answer = await fetch(part.dataset.part, { headers: { 'X-Part': '1' } });
  if (answer.redirected || answer.status === 401) return location.reload();
  if (!answer.ok) return undefined;
  const fresh = await answer.text();
  const focused = focusKey(part);
  const ticked = [...part.querySelectorAll('input[type="checkbox"]:checked')].map(tickOf);
  part.innerHTML = fresh;
  for (const box of ticked.map((one) => part.querySelector(one))) if (box) box.checked = true;
  if (window.htmx) window.htmx.process(part);
  if (focused) part.querySelector(focused)?.focus();
  tick(part);
  return undefined;
}

/** A function that asks for a part to be fetched; many calls become one, and one that comes during a fetch is not lost. */
export function refresher(part, gap = GAP_MS) {
  let timer = null;
  let last = 0;
  const run = async () => {
    last = Date.now();
    try {
      await load(part);
    } catch (error) {
      console.warn('part not loaded', error); // the link sign tells the person that the centre cannot be reached
    }
    timer = null;
  };
  return () => {
    if (timer === null) timer = setTimeout(run, Math.max(150, gap - (Date.now() - last)));
  };
}
