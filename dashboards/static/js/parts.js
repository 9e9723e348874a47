// Parts of a page that the server renders anew: fetched when something has changed, at most once in a while, with the focus kept where it was.
import { tick } from './clock.js';

const GAP_MS = 1000;

function focusKey(part) {
  const active = document.activeElement;
  if (!part.contains(active) || !active.getAttribute('href')) return null;
  return active.getAttribute('href');
}

function typedInto(part) {
  return part.contains(document.activeElement) && document.activeElement.matches('input, textarea, select');
}

async function load(part) {
  if (typedInto(part)) return undefined; // never under the hands of somebody who types; the next event asks again
  const answer = await fetch(part.dataset.part, { headers: { 'X-Part': '1' } });
  if (answer.redirected || answer.status === 401) return location.reload();
  if (!answer.ok) return undefined;
  const focused = focusKey(part);
  part.innerHTML = await answer.text();
  if (window.htmx) window.htmx.process(part);
  if (focused) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
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
